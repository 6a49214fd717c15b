"""The deployments that are in effect on a core device: the newest of each target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from verge.cloud import ports
from verge.cloud.greengrass import arns, history, outcomes, pages

Params = Mapping[str, Any]
Entry = tuple[history.Deployment, outcomes.Outcome]

_LEFT = "REMOVED"
"""A thing that left the group before it received the deployment has none from it."""


class Effective:
    """Answers ListEffectiveDeployments."""

    def __init__(
        self,
        *,
        names: arns.Names,
        store: history.Store,
        results: outcomes.Outcomes,
        jobs: ports.Jobs,
    ) -> None:
        self._names = names
        self._store = store
        self._outcomes = results
        self._jobs = jobs

    def page(self, params: Params) -> dict[str, Any]:
        """Return a page of a device's deployments, newest first."""
        page = pages.Page.of("ListEffectiveDeployments", params)
        entries = [
            entry
            for entry in self._newest(params["coreDeviceThingName"])
            if page.after is None or entry[0].number < int(page.after)
        ]
        shown, token = page.cut(entries, lambda entry: entry[0].number)
        return {"effectiveDeployments": list(map(self._show, shown)), "nextToken": token}

    def _newest(self, thing: str) -> list[Entry]:
        newest: dict[tuple[str, str], Entry] = {}
        for entry in (*self._from_jobs(thing), *self._from_shadow(thing)):
            key = (entry[0].kind, entry[0].target)
            if key not in newest or newest[key][0].number < entry[0].number:
                newest[key] = entry
        return sorted(newest.values(), key=lambda entry: -entry[0].number)

    def _from_jobs(self, thing: str) -> Iterator[Entry]:
        for execution in self._jobs.executions_of_thing(thing):
            deployment = self._store.of_job(execution.job_id)
            if deployment is not None and execution.status != _LEFT:
                yield deployment, outcomes.of_execution(execution)

    def _from_shadow(self, thing: str) -> Iterator[Entry]:
        target = arns.Target(self._names.region, self._names.account, arns.THING, thing)
        for deployment in self._store.select(before=None, most=1, target=target):
            yield deployment, self._outcomes.of_thing(thing, deployment)

    def _show(self, entry: Entry) -> dict[str, Any]:
        deployment, outcome = entry
        failed = outcome.error_stack or outcome.error_types
        return {
            "deploymentId": deployment.id,
            "deploymentName": deployment.request.get("deploymentName") or "",
            "iotJobId": deployment.job,
            "iotJobArn": None if deployment.job is None else self._names.job(deployment.job),
            "targetArn": deployment.request["targetArn"],
            "coreDeviceExecutionStatus": outcome.status,
            "reason": outcome.reason or None,
            "creationTimestamp": deployment.created,
            "modifiedTimestamp": outcome.modified,
            "statusDetails": {
                "errorStack": list(outcome.error_stack),
                "errorTypes": list(outcome.error_types),
            }
            if failed
            else None,
        }
