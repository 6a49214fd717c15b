"""What the jobs service refuses, in its own codes."""

from __future__ import annotations

from typing import Any

from verge.cloud import errors

INVALID_JSON = "InvalidJson"
INVALID_REQUEST = "InvalidRequest"
NOT_FOUND = "ResourceNotFound"
VERSION_MISMATCH = "VersionMismatch"
INVALID_TRANSITION = "InvalidStateTransition"
TERMINAL_STATE = "TerminalStateReached"
EXISTS = "ResourceAlreadyExists"
LIMIT = "LimitExceeded"


class JobError(errors.CloudError):
    """A request that the service refuses; `code` is the word it uses on MQTT.

    `state` is what stands in the way: `status`, `statusDetails` and `versionNumber` of the
    execution.
    """

    def __init__(self, code: str, message: str, state: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.state = state


def refuse(message: str) -> JobError:
    """Return the error for a request that is wrong in itself."""
    return JobError(INVALID_REQUEST, message)


class MissingError(JobError, errors.NotFoundError):
    """What a request names does not exist."""

    def __init__(self, message: str) -> None:
        super().__init__(NOT_FOUND, message)


def no_job(job_id: str) -> MissingError:
    """Return the error for a job that does not exist."""
    return MissingError(f"cannot find job {job_id}")


def no_execution(job_id: str, thing: str) -> MissingError:
    """Return the error for a job that is not one of the thing's."""
    return MissingError(f"cannot find an execution of job {job_id} for {thing}")
