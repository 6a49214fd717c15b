"""Bring the deployments of a cloud to what the inventory asks, and wait for the devices' word."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from verge.fleet import aws, deployments, targets
from verge.fleet.errors import FleetError

DEPLOYMENT_SECONDS = 900.0
"""How long the devices of a target may take until all of them have reported."""

SUCCEEDED = frozenset({"SUCCEEDED", "COMPLETED"})
"""Success of a group deployment and of a thing's (contract 3.8)."""
FAILED = frozenset({"FAILED", "REJECTED", "TIMED_OUT", "CANCELED"})
BROKEN = "BROKEN"

_PAUSE = 0.5


@dataclass(frozen=True)
class Deployment:
    """The newest deployment of a target."""

    target: targets.Target
    id: str
    created: bool
    """Whether it was made now."""


@dataclass(frozen=True)
class Report:
    """What a device has told the cloud about a deployment."""

    status: str = ""
    """The word of the effective deployment; empty if the device has not spoken of it."""
    reason: str = ""
    errors: tuple[str, ...] = ()
    components: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    """Name → version, state, details."""

    def lacks(self, wanted: Mapping[str, targets.Component]) -> list[str]:
        """Return what is not as it was deployed, one line each.

        States are those of the last report, which may be of a moment when something was starting;
        only BROKEN is final.
        """
        lines = []
        for name, component in wanted.items():
            version, state, details = self.components.get(name, ("", "", ""))
            if version != component.version or state == BROKEN:
                shown = f"{version} is {state}" if version else "is not reported"
                lines.append(f"{name} {shown}" + (f" ({details})" if details else ""))
        return lines

    def failed(self) -> bool:
        """Whether the device will not come to run what was deployed."""
        return self.status in FAILED or (
            self.status in SUCCEEDED
            and any(state == BROKEN for _, state, _ in self.components.values())
        )


class Deployments:
    """The deployments of an account."""

    def __init__(self, account: aws.Account, sleep: Callable[[float], None] = time.sleep) -> None:
        self._account = account
        self._sleep = sleep

    @property
    def _client(self) -> Any:
        return self._account.client("greengrassv2")

    def ensure(self, target: targets.Target) -> Deployment | None:
        """Deploy to a target if its newest deployment says something else or does not hold.

        Returns None where there never was a deployment and none is asked for.
        """
        arn = self._account.arn("iot", f"{target.kind}/{target.name}")
        former = self._latest(arn)
        if not former and not target.components:
            return None
        if former and deployments.is_current(target, former) and self._holds(former, target):
            return Deployment(target, former["deploymentId"], created=False)
        with aws.explained():
            answer = self._client.create_deployment(
                targetArn=arn,
                deploymentName=f"{target.name}",
                components=deployments.next_components(target, former),
                deploymentPolicies=deployments.POLICIES,
            )
        return Deployment(target, str(answer["deploymentId"]), created=True)

    def _latest(self, arn: str) -> dict[str, Any]:
        with aws.explained():
            listed = self._client.list_deployments(targetArn=arn, historyFilter="LATEST_ONLY")
            found = listed.get("deployments") or []
            if not found:
                return {}
            answer = self._client.get_deployment(deploymentId=found[0]["deploymentId"])
        return dict(answer)

    def _holds(self, former: Mapping[str, Any], target: targets.Target) -> bool:
        """Whether it is in force, no device failed at it, and none has left it since."""
        if former.get("deploymentStatus") not in ("ACTIVE", "COMPLETED"):
            return False
        reports = [self.report(device, former["deploymentId"]) for device in target.devices]
        return not any(
            report.failed() or (report.status in SUCCEEDED and report.lacks(target.components))
            for report in reports
        )

    def report(self, device: str, deployment: str) -> Report:
        """Return what a device has told of a deployment; nothing if it has never spoken."""
        try:
            with aws.explained():
                effective = self._all(
                    "list_effective_deployments",
                    "effectiveDeployments",
                    coreDeviceThingName=device,
                )
                installed = self._all(
                    "list_installed_components",
                    "installedComponents",
                    coreDeviceThingName=device,
                    topologyFilter="ALL",
                )
        except aws.CloudError as error:
            if error.not_found:
                return Report()
            raise
        components = {
            item["componentName"]: (
                item.get("componentVersion", ""),
                item.get("lifecycleState", ""),
                item.get("lifecycleStateDetails") or "",
            )
            for item in installed
        }
        for item in effective:
            if item["deploymentId"] == deployment:
                details = item.get("statusDetails") or {}
                return Report(
                    status=item["coreDeviceExecutionStatus"],
                    reason=item.get("reason") or "",
                    errors=tuple(details.get("errorStack") or ()),
                    components=components,
                )
        return Report(components=components)

    def _all(self, operation: str, key: str, **arguments: str) -> list[dict[str, Any]]:
        pages = self._client.get_paginator(operation).paginate(**arguments)
        return [item for page in pages for item in page.get(key, [])]

    def wait(
        self,
        deployment: Deployment,
        *,
        now: Callable[[str], object],
        seconds: float = DEPLOYMENT_SECONDS,
    ) -> dict[str, Report]:
        """Wait until every device of the target has reported that it took what was deployed.

        Raises DeploymentError as soon as all have spoken and one failed, or when time is up.
        """
        deadline = time.monotonic() + seconds
        wanted = deployment.target.components
        while True:
            reports = {
                device: self.report(device, deployment.id) for device in deployment.target.devices
            }
            failed = {name: item for name, item in reports.items() if item.failed()}
            waiting = [
                name
                for name, item in reports.items()
                if not item.failed() and (item.status not in SUCCEEDED or item.lacks(wanted))
            ]
            if failed and not waiting:
                raise DeploymentError(deployment, failed)
            if not waiting:
                return reports
            if time.monotonic() > deadline:
                raise DeploymentError(deployment, {name: reports[name] for name in waiting})
            now(f"Waiting for {', '.join(waiting)}")
            self._sleep(_PAUSE)


class DeploymentError(FleetError):
    """Devices did not come to run what was deployed; `.reports` holds what they said."""

    def __init__(self, deployment: Deployment, reports: Mapping[str, Report]) -> None:
        wanted = deployment.target.components
        lines = [f"cannot deploy to {deployment.target.name} (deployment {deployment.id}):"]
        for device, report in sorted(reports.items()):
            lines.append(f"  {device}: {_told(report, wanted)}")
        super().__init__(
            "\n".join(lines),
            "./inv status shows what runs; ./inv logs COMPONENT --device DEVICE says why not; "
            "a repeated ./inv up tries again",
        )
        self.deployment = deployment
        self.reports = dict(reports)


def _told(report: Report, wanted: Mapping[str, targets.Component]) -> str:
    if report.status in FAILED:
        stack = f" [{', '.join(report.errors)}]" if report.errors else ""
        return f"{report.status}: {report.reason or 'no reason given'}{stack}"
    if not report.status:
        return "has not reported the deployment; is it on, and does it reach the cloud?"
    lacking = report.lacks(wanted)
    return f"{report.status}, but {'; '.join(lacking)}" if lacking else report.status


def describe_changes(found: Sequence[Deployment]) -> list[str]:
    """Return one line for each deployment that was made."""
    return [f"deployed to {item.target.kind} {item.target.name}" for item in found if item.created]
