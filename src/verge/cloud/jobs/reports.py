"""What devices say of executions, and what of it makes no sense."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from verge.cloud.jobs import errors, model, states

STEP_LIMIT = 10_080
"""Minutes within which a device can promise to be heard of again."""
_DETAIL_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_DETAIL_VALUE = 1024


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a device says of an execution.

    `details` None leaves them as they are. `step_minutes` sets the time within which the device
    will be heard of again; -1 takes it back.
    """

    status: str
    details: Mapping[str, str] | None = None
    expected_version: int | None = None
    number: int | None = None
    step_minutes: int | None = None


def check(report: Report) -> None:
    """Refuse what a device cannot say. Raises JobError."""
    if report.status not in states.REPORTABLE:
        raise errors.refuse(
            f"cannot set the status {report.status}: use {', '.join(sorted(states.REPORTABLE))}"
        )
    step = report.step_minutes
    if step is not None and step != -1 and not 1 <= step <= STEP_LIMIT:
        raise errors.refuse(
            f"cannot use stepTimeoutInMinutes {step}: give 1 to {STEP_LIMIT}, or -1 for none"
        )
    check_details(report.details)


def check_details(details: Mapping[str, str] | None) -> None:
    """Refuse details that the service would refuse. Raises JobError."""
    if not details:
        return
    for name, value in details.items():
        if not _DETAIL_NAME.fullmatch(name):
            raise errors.refuse(f"cannot use the name {name[:140]} in statusDetails")
        if len(value) > _DETAIL_VALUE:
            raise errors.refuse(
                f"cannot use statusDetails/{name}: longer than {_DETAIL_VALUE} characters"
            )


def check_version(execution: model.Execution, expected: int | None) -> None:
    """Refuse a change of another version. Raises JobError (VersionMismatch)."""
    if expected is not None and expected != execution.version:
        raise errors.JobError(
            errors.VERSION_MISMATCH,
            f"cannot change job {execution.job_id} on {execution.thing}: version {expected} is "
            f"expected, it is at {execution.version}",
            execution.state,
        )


def transition(execution: model.Execution, status: str) -> errors.JobError:
    """Return the error for a status that cannot follow the one there is."""
    return errors.JobError(
        errors.INVALID_TRANSITION,
        f"cannot change job {execution.job_id} on {execution.thing} from {execution.status} "
        f"to {status}",
        execution.state,
    )
