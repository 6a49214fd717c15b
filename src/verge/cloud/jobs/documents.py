"""Executions as devices see them: the shapes of MQTT and of `iot-jobs-data` (contract 5.8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from verge.cloud import ports
from verge.cloud.jobs import model, states


def summary(execution: model.Execution) -> ports.Document:
    """Return an execution as lists show it; times are whole seconds."""
    shown: dict[str, Any] = {
        "jobId": execution.job_id,
        "queuedAt": int(execution.queued_at),
        "lastUpdatedAt": int(execution.updated_at),
        "versionNumber": execution.version,
        "executionNumber": execution.number,
    }
    if execution.started_at is not None:
        shown["startedAt"] = int(execution.started_at)
    return shown


def whole(execution: model.Execution, now: float) -> ports.Document:
    """Return an execution with its state, but without thing and job document."""
    shown = {**summary(execution), "status": execution.status}
    if execution.details:
        shown["statusDetails"] = execution.details
    if execution.expires_at is not None:
        shown["approximateSecondsBeforeTimedOut"] = max(0, int(execution.expires_at - now))
    return shown


def by_status(pending: Sequence[model.Execution]) -> ports.Document:
    """Return the `jobs` of a notification: summaries by status, without empty lists."""
    lists = {
        status: [summary(each) for each in pending if each.status == status]
        for status in states.PENDING
    }
    return {status: shown for status, shown in lists.items() if shown}


def as_lists(pending: Sequence[model.Execution]) -> ports.Document:
    """Return what GetPendingJobExecutions answers."""
    return {
        "inProgressJobs": [summary(e) for e in pending if e.status == states.IN_PROGRESS],
        "queuedJobs": [summary(e) for e in pending if e.status == states.QUEUED],
    }
