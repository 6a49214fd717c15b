"""Jobs and executions as the IoT API shows them, with botocore's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verge.cloud import ports
from verge.cloud import settings as configured
from verge.cloud.jobs import model, states

_COUNTS = {
    "numberOfCanceledThings": states.CANCELED,
    "numberOfSucceededThings": states.SUCCEEDED,
    "numberOfFailedThings": states.FAILED,
    "numberOfRejectedThings": states.REJECTED,
    "numberOfQueuedThings": states.QUEUED,
    "numberOfInProgressThings": states.IN_PROGRESS,
    "numberOfRemovedThings": states.REMOVED,
    "numberOfTimedOutThings": states.TIMED_OUT,
}


class Names:
    """The ARNs of jobs, things and groups."""

    def __init__(self, settings: configured.Settings) -> None:
        self._prefix = f"arn:aws:iot:{settings.region}:{settings.account}"

    def job(self, job: model.Job) -> str:
        """Return the ARN of a job."""
        return f"{self._prefix}:job/{job.id}"

    def thing(self, name: str) -> str:
        """Return the ARN of a thing."""
        return f"{self._prefix}:thing/{name}"

    def group(self, name: str) -> str:
        """Return the ARN of a thing group."""
        return f"{self._prefix}:thinggroup/{name}"


def named(job: model.Job, names: Names) -> ports.Document:
    """Return what answers to changes of a job say."""
    return without_none({"jobArn": names.job(job), "jobId": job.id, "description": job.description})


def summary(job: model.Job, names: Names) -> ports.Document:
    """Return a job as lists show it."""
    return without_none(
        {
            "jobArn": names.job(job),
            "jobId": job.id,
            "targetSelection": selection(job),
            "status": job.status,
            "createdAt": job.created_at,
            "lastUpdatedAt": job.updated_at,
            "completedAt": job.completed_at,
            "isConcurrent": False,
        }
    )


def whole(
    job: model.Job, names: Names, counts: Mapping[str, int], *, rolling_out: bool
) -> ports.Document:
    """Return a job with its settings; `counts` are its executions by status."""
    progress: ports.Document = {name: counts.get(status, 0) for name, status in _COUNTS.items()}
    if rolling_out:
        progress["processingTargets"] = job.targets
    return without_none(
        {
            **summary(job, names),
            "targets": job.targets,
            "forceCanceled": job.forced,
            "description": job.description,
            "namespaceId": job.namespace or None,
            "reasonCode": job.reason_code,
            "comment": job.comment,
            "jobExecutionsRolloutConfig": job.rollout,
            "abortConfig": job.abort or None,
            "timeoutConfig": job.timeout,
            "presignedUrlConfig": {},
            "jobProcessDetails": progress,
        }
    )


def selection(job: model.Job) -> str:
    """Return the word for which things a job is for."""
    return "CONTINUOUS" if job.continuous else "SNAPSHOT"


def times(execution: model.Execution) -> ports.Document:
    """Return an execution as lists show it."""
    return without_none(
        {
            "status": execution.status,
            "queuedAt": execution.queued_at,
            "startedAt": execution.started_at,
            "lastUpdatedAt": execution.updated_at,
            "executionNumber": execution.number,
        }
    )


def execution(execution: model.Execution, names: Names, now: float) -> ports.Document:
    """Return an execution with what its thing said of it."""
    left = None if execution.expires_at is None else max(0, int(execution.expires_at - now))
    return without_none(
        {
            **times(execution),
            "jobId": execution.job_id,
            "thingArn": names.thing(execution.thing),
            "forceCanceled": execution.forced,
            "statusDetails": {"detailsMap": execution.details},
            "versionNumber": execution.version,
            "approximateSecondsBeforeTimedOut": left,
        }
    )


def without_none(members: Mapping[str, Any]) -> ports.Document:
    """Return the members that there are."""
    return {name: value for name, value in members.items() if value is not None}
