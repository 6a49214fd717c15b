"""What became of deployments on devices: executions of jobs, shadows, status reports.

Success is SUCCEEDED for a group and COMPLETED for a thing (contract 7, trap 10).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from verge.cloud import database as db
from verge.cloud import ports
from verge.cloud.greengrass import arns, delivery, history

_THING_STATUS = {
    "IN_PROGRESS": "IN_PROGRESS",
    "SUCCEEDED": "COMPLETED",
    "FAILED": "FAILED",
    "REJECTED": "REJECTED",
    "CANCELED": "CANCELED",
    "TIMED_OUT": "TIMED_OUT",
}
_SETTLED = {"COMPLETED": history.COMPLETED, "FAILED": history.FAILED, "REJECTED": history.FAILED}
"""Status of a thing's deployment by that of its device."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How far a deployment is on a device; `status` is a word of ListEffectiveDeployments."""

    status: str
    reason: str = ""
    error_stack: tuple[str, ...] = ()
    error_types: tuple[str, ...] = ()
    modified: float = 0.0


class Outcomes:
    """Takes in what devices say and answers how far deployments are.

    `settled` is called with a thing and the target of a group whose deployment succeeded on it,
    `changed` with a thing, its deployment and how far that is now.
    """

    def __init__(
        self,
        *,
        database: db.Database,
        store: history.Store,
        settled: Callable[[str, str], None],
        changed: Callable[[str, history.Deployment, Outcome], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._store = store
        self._settled = settled
        self._changed = changed
        self._clock = clock

    def execution(self, status: ports.ExecutionStatus) -> None:
        """Take in that a job's execution changed."""
        deployment = self._store.of_job(status.job_id)
        if deployment is None:
            return
        if status.status == "SUCCEEDED":
            self._settled(status.thing, deployment.target)
        self._changed(status.thing, deployment, of_execution(status))

    def shadow(self, thing: str, name: str | None, document: Mapping[str, Any]) -> None:
        """Take in that a shadow changed."""
        reported = document.get("state", {}).get("reported") if name == delivery.SHADOW else None
        if isinstance(reported, dict):
            arn = reported.get("fleetConfigurationArnForStatus")
            self.reported(thing, arn, reported.get("status"), reported.get("statusDetails"))

    def reported(self, thing: str, arn: object, status: object, details: object) -> None:
        """Take in what a device says of the configuration that it was given.

        `details` are `statusDetails` of contract 5.8. What names no deployment of ours, or that of
        another thing, is nothing.
        """
        deployment = self._store.of_configuration(arn) if isinstance(arn, str) else None
        if deployment is None or not isinstance(status, str):
            return
        if deployment.kind == arns.THING_GROUP:
            if status == "SUCCEEDED":
                self._settled(thing, deployment.target)
        elif deployment.target == thing and status in _THING_STATUS:
            self._keep(thing, deployment, _outcome(_THING_STATUS[status], details, self._clock()))

    def of_thing(self, thing: str, deployment: history.Deployment) -> Outcome:
        """Return how far a thing's own deployment is on it."""
        row = self._database.one(
            "SELECT * FROM greengrass_outcomes WHERE thing = ? AND deployment = ?",
            (thing, deployment.id),
        )
        if row is None:
            waiting = "CANCELED" if deployment.status == history.CANCELED else "QUEUED"
            return Outcome(status=waiting, modified=deployment.created)
        stack, types = json.loads(row["details"])
        return Outcome(
            status=row["status"],
            reason=row["reason"],
            error_stack=tuple(stack),
            error_types=tuple(types),
            modified=row["modified"],
        )

    def _keep(self, thing: str, deployment: history.Deployment, outcome: Outcome) -> None:
        known = self.of_thing(thing, deployment)
        if msgspec.structs.replace(known, modified=outcome.modified) == outcome:
            return
        with self._database.transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO greengrass_outcomes VALUES (?, ?, ?, ?, ?, ?)",
                (
                    *(thing, deployment.id, outcome.status, outcome.reason),
                    json.dumps([outcome.error_stack, outcome.error_types]),
                    outcome.modified,
                ),
            )
            if outcome.status in _SETTLED:
                self._store.set_status(
                    deployment.id, _SETTLED[outcome.status], only_if=history.ACTIVE
                )
        self._changed(thing, deployment, outcome)


def of_execution(status: ports.ExecutionStatus) -> Outcome:
    """Return the outcome that a job's execution says (keys of contract 5.8)."""
    details = status.details
    return Outcome(
        status=status.status,
        reason=details.get("deployment-failure-cause", ""),
        error_stack=_texts(_load(details.get("deployment-error-stack", ""))),
        error_types=_texts(_load(details.get("deployment-error-types", ""))),
        modified=status.updated_at,
    )


def _outcome(status: str, details: object, now: float) -> Outcome:
    given = details if isinstance(details, dict) else {}
    cause = given.get("failureCause")
    return Outcome(
        status=status,
        reason=cause if isinstance(cause, str) else "",
        error_stack=_texts(given.get("errorStack")),
        error_types=_texts(given.get("errorTypes")),
        modified=now,
    )


def _load(text: str) -> object:
    """Return the list in the text; devices cut long ones, which then cannot be read."""
    if not text:
        return None
    try:
        found: object = json.loads(text)
    except ValueError:
        return None
    return found


def _texts(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else []
    return tuple(item for item in items if isinstance(item, str) and item)
