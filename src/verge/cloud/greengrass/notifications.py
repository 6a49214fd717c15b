"""What Greengrass says on the event bus: deployments that ended, components that failed.

The guide names the deployment in `deploymentId`; its earlier edition, and contract 5.9, in
`deployment-id`. Rules of either find theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

from verge.cloud import ports
from verge.cloud.greengrass import arns, history, outcomes, reports

SOURCE = "aws.greengrass"
DEPLOYMENT = "Greengrass V2 Effective Deployment Status Change"
COMPONENT = "Greengrass V2 Installed Component Status Change"

ENDED = frozenset({"FAILED", "SUCCEEDED", "COMPLETED", "REJECTED", "CANCELED"})
FAILING = frozenset({"ERRORED", "BROKEN"})


class Notifications:
    """Makes the events of one account."""

    def __init__(self, *, names: arns.Names, events: ports.Events) -> None:
        self._names = names
        self._events = events

    def deployment(
        self, thing: str, deployment: history.Deployment, outcome: outcomes.Outcome
    ) -> None:
        """Tell that a deployment ended on a device; anything else of it is no event."""
        if outcome.status not in ENDED:
            return
        self._put(
            DEPLOYMENT,
            thing,
            {
                "deploymentId": deployment.id,
                "deployment-id": deployment.id,
                "coreDeviceExecutionStatus": outcome.status,
                "statusDetails": {
                    "errorStack": list(outcome.error_stack),
                    "errorTypes": list(outcome.error_types),
                },
                "reason": outcome.reason,
            },
        )

    def components(self, thing: str, failing: Iterable[reports.Component]) -> None:
        """Tell which components of a device have come to fail."""
        if told := [_component(each) for each in failing]:
            self._put(COMPONENT, thing, {"components": told})

    def _put(self, kind: str, thing: str, detail: ports.Document) -> None:
        device = self._names.core_device(thing)
        self._events.put(ports.Event(source=SOURCE, kind=kind, resources=(device,), detail=detail))


def _component(component: reports.Component) -> ports.Document:
    return {
        "componentName": component.name,
        "componentVersion": component.version,
        "root": component.root,
        "lifecycleState": component.state,
        "lifecycleStatusCodes": list(component.codes),
        "lifecycleStateDetails": component.reason,
    }
