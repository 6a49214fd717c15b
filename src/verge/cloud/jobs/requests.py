"""What devices ask of the jobs service, over MQTT and HTTP alike."""

from __future__ import annotations

import msgspec

from verge.cloud.jobs import errors, reports, states


class Request(msgspec.Struct, rename="camel", kw_only=True):
    """Any request; members it does not know are ignored, as Lite's `jobId` and `thingName`."""

    client_token: str | None = None
    include_job_document: bool | None = None
    include_job_execution_state: bool = False
    status: str | None = None
    status_details: dict[str, str] | None = None
    expected_version: int | None = None
    execution_number: int | None = None
    step_timeout_in_minutes: int | None = None

    @property
    def report(self) -> reports.Report:
        """The report an update contains. Raises JobError."""
        if self.status is None:
            raise errors.refuse("cannot update a job execution without a status")
        return reports.Report(
            status=self.status,
            details=self.status_details,
            expected_version=self.expected_version,
            number=self.execution_number,
            step_minutes=self.step_timeout_in_minutes,
        )

    @property
    def beginning(self) -> reports.Report:
        """The report that begins a job."""
        return reports.Report(
            status=states.IN_PROGRESS,
            details=self.status_details,
            step_minutes=self.step_timeout_in_minutes,
        )


def parse(payload: bytes) -> Request:
    """Read a request; nothing counts as `{}`. Raises JobError."""
    try:
        return msgspec.json.decode(payload or b"{}", type=Request, strict=False)
    except msgspec.ValidationError as error:
        raise errors.refuse(f"cannot use the request: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.JobError(
            errors.INVALID_JSON, f"cannot read the request: it is no JSON ({error})"
        ) from error
