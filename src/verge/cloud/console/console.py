"""Collects what the page shows from the answers of the Greengrass API."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from werkzeug.wrappers import Request, Response

from verge.cloud import ports, settings
from verge.cloud.console import page
from verge.cloud.greengrass import faults
from verge.cloud.http import answers, routing

PATH = "/_console"
"""No bucket has such a name, so it hides no object."""
DEVICES = 50
DEPLOYMENTS = 20

Ask = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""Carries out an operation of `greengrassv2` by its name."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
}


class Console:
    """Answers one page; it changes nothing.

    It is served by plain HTTP on loopback to whoever is on this machine, as the API is. Pages from
    elsewhere that gave their name this address are refused.
    """

    def __init__(self, *, settings: settings.Settings, ask: Ask, jobs: ports.Jobs) -> None:
        self._settings = settings
        self._ask = ask
        self._jobs = jobs
        self._hosts = frozenset({settings.api_address, "127.0.0.1", "localhost", "[::1]"})

    def routes(self) -> Sequence[routing.Route]:
        """Return the one page there is."""
        return (routing.Route.of("GET", PATH, self._show),)

    def _show(self, request: Request, _: Mapping[str, str]) -> Response:
        if request.host.rpartition(":")[0] not in self._hosts and request.host not in self._hosts:
            return answers.error(403, "AccessDeniedException", "cannot serve this host name")
        devices, more = self._devices()
        content = page.render(
            page.Shown(
                region=self._settings.region,
                account=self._settings.account,
                now=time.time(),
                devices=devices,
                more_devices=more,
                deployments=self._deployments(),
            )
        )
        return Response(content, content_type="text/html; charset=utf-8", headers=_HEADERS)

    def _devices(self) -> tuple[list[page.Device], bool]:
        """Return devices by name, those that are not well first; and whether there are more."""
        found: list[Mapping[str, Any]] = []
        for status in ("UNHEALTHY", "HEALTHY"):
            asked = {"status": status, "maxResults": DEVICES + 1}
            found += self._ask("ListCoreDevices", asked)["coreDevices"]
        shown = [self._device(each["coreDeviceThingName"]) for each in found[:DEVICES]]
        return shown, len(found) > DEVICES

    def _device(self, thing: str) -> page.Device:
        named = {"coreDeviceThingName": thing}
        core = self._ask("GetCoreDevice", named)
        listed = {**named, "topologyFilter": "ALL", "maxResults": 100}
        return page.Device(
            thing=thing,
            status=core["status"],
            nucleus=f"{core['runtime']} {core['coreVersion'] or ''}",
            platform=" ".join(filter(None, (core["platform"], core["architecture"]))),
            reported=core["lastStatusUpdateTimestamp"],
            components=tuple(
                page.Component(
                    name=each["componentName"],
                    version=each["componentVersion"],
                    state=each["lifecycleState"],
                    reason=each["lifecycleStateDetails"] or "",
                    root=each["isRoot"],
                )
                for each in self._ask("ListInstalledComponents", listed)["installedComponents"]
            ),
        )

    def _deployments(self) -> list[page.Deployment]:
        asked = {"historyFilter": "ALL", "maxResults": DEPLOYMENTS}
        listed = self._ask("ListDeployments", asked)["deployments"]
        return [self._deployment(each["deploymentId"]) for each in listed]

    def _deployment(self, identity: str) -> page.Deployment:
        found = self._ask("GetDeployment", {"deploymentId": identity})
        outcomes = self._outcomes(found)
        return page.Deployment(
            id=identity,
            name=found.get("deploymentName") or "",
            target=found["targetArn"].rpartition(":")[2],
            revision=found["revisionId"],
            status=found["deploymentStatus"],
            created=found["creationTimestamp"],
            components=tuple(
                f"{name} {given['componentVersion']}"
                for name, given in (found.get("components") or {}).items()
            ),
            counts=dict(collections.Counter(status for _, status, _ in outcomes).most_common()),
            troubles=tuple(
                f"{thing}: {reason or status}"
                for thing, status, reason in outcomes
                if status in page.BAD
            )[: page.TROUBLES],
        )

    def _outcomes(self, deployment: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Return thing, status and reason for each device of a deployment."""
        if job := deployment.get("iotJobId"):
            return [
                (each.thing, each.status, each.details.get("deployment-failure-cause", ""))
                for each in self._jobs.executions_of_job(job)
            ]
        thing = deployment["targetArn"].rpartition("/")[2]
        listed = self._effective(thing)
        return [
            (thing, each["coreDeviceExecutionStatus"], each["reason"] or "")
            for each in listed
            if each["deploymentId"] == deployment["deploymentId"]
        ]

    def _effective(self, thing: str) -> list[Mapping[str, Any]]:
        """Return what is in effect on a thing; nothing for one that never reported itself."""
        try:
            answer = self._ask("ListEffectiveDeployments", {"coreDeviceThingName": thing})
        except faults.NotFoundFault:
            return []
        return list(answer["effectiveDeployments"])
