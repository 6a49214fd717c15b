"""Tells the cloud what runs on the device (Greengrass contract 5.9)."""

from __future__ import annotations

import asyncio
import collections
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from verge.nucleus import logs, settings
from verge.nucleus.deployment import groups
from verge.nucleus.deployment.documents import Channel, Record, Status
from verge.nucleus.lifecycle.states import State
from verge.recipe import platforms

LARGEST = 120_000
"""Bytes of one message; AWS takes 128,000."""

CAUSE_LENGTH = 12_000
"""Characters of a deployment's cause, which may hold the output of many components."""

SPACING = 3.0
"""Seconds between two messages at least."""

RECONNECT_QUIET = 60.0
"""Seconds within which a second reconnect is not worth a message."""

KEPT = 50
"""Ended deployments that are remembered without a link."""

RUNTIME = "aws_nucleus_classic"

_SEQUENCE = "status sequence"
_WORTH_TELLING = frozenset({State.RUNNING, State.FINISHED, State.ERRORED, State.BROKEN})
_ENDED = frozenset({Status.SUCCEEDED, Status.FAILED, Status.REJECTED, Status.CANCELED})

log = logs.Logger("status")


@dataclass(frozen=True)
class Component:
    """One component as the cloud is told of it."""

    name: str
    version: str
    state: State
    is_root: bool
    arns: tuple[str, ...] = ()
    code: str = ""
    reason: str = ""

    def document(self) -> dict[str, Any]:
        """Return the component as the message holds it."""
        failed = self.state in {State.ERRORED, State.BROKEN}
        return {
            "componentName": self.name,
            "version": self.version,
            "fleetConfigArns": list(self.arns),
            "componentStatusDetails": (
                {"statusCodes": [self.code], "statusReason": self.reason} if failed else None
            ),
            "isRoot": self.is_root,
            "status": self.state.value,
        }


class Device(Protocol):
    """The device as it is now."""

    def components(self) -> Sequence[Component]:
        """Return all components."""

    async def until(self, reached: Callable[[], bool], deadline: float | None = None) -> bool:
        """Wait for a condition, looking at every change, at most to a time of the loop."""

    def wake(self) -> None:
        """Let `until` look again."""

    def busy(self) -> bool:
        """Return whether a deployment is at work, whose end will tell of what it changed."""


Publish = Callable[[str, Any], Awaitable[None]]


class Reporter:
    """Sends reports while there is a link."""

    def __init__(
        self,
        configured: settings.Settings,
        publish: Publish,
        device: Device,
        known: groups.Groups,
        clock: Callable[[], float],
        spacing: float = SPACING,
    ) -> None:
        self._settings = configured
        self._publish = publish
        self._device = device
        self._known = known
        self._clock = clock
        self._spacing = spacing
        self._loop = asyncio.get_running_loop()
        self._topic = f"$aws/things/{configured.thing_name}/greengrassv2/health/json"
        self._told: dict[str, Component] | None = None
        """What the cloud was told last; None before the first report of this nucleus."""
        self._ended: list[Record] = []
        self._seen: collections.deque[str] = collections.deque(maxlen=2 * KEPT)
        """Ended deployments that are or were in the list above."""
        self._sent_at = -spacing
        self._complete_at = 0.0
        self._linked_at: float | None = None
        platform = platforms.detect_platform(override=configured.platform_override)
        self._facts = {
            "ggcVersion": settings.VERSION,
            "platform": platform.get("os", "linux"),
            "architecture": platform.get("architecture", "unknown"),
            "runtime": RUNTIME,
            "thing": configured.thing_name,
        }

    def changed(self, record: Record) -> None:
        """Take note of a deployment that has got further."""
        if record.status in _ENDED and record.id not in self._seen:
            self._seen.append(record.id)
            self._ended = [*self._ended, record][-KEPT:]
            self._device.wake()

    async def linked(self) -> None:
        """Report as long as the link lasts."""
        await self._greet()
        while True:
            cadence = self._complete_at + self._settings.cloud.status_interval
            await self._device.until(self._has_news, cadence)
            await self._pace()  # what changes meanwhile goes with it
            if self._loop.time() >= cadence:
                await self._tell_all("CADENCE")
            elif self._ended:
                record = self._ended[0]
                await self._tell_changes(_trigger(record), record)
                self._ended = [one for one in self._ended if one is not record]
            elif self._has_news():
                await self._tell_changes("COMPONENT_STATUS_CHANGE")

    async def _greet(self) -> None:
        now, former = self._loop.time(), self._linked_at
        self._linked_at = now
        if self._told is None:
            await self._tell_all("NUCLEUS_LAUNCH")
        elif former is None or now - former > RECONNECT_QUIET:
            await self._tell_changes("RECONNECT")

    # What is new

    def _has_news(self) -> bool:
        if self._ended:
            return True
        told = self._told or {}
        now = self._device.components()
        gone = told.keys() - {one.name for one in now}
        changed = [
            one
            for one in now
            if one.state in _WORTH_TELLING and _essence(one) != _essence(told.get(one.name))
        ]
        if any(one.state is State.BROKEN for one in changed):
            return True
        return bool(gone or changed) and not self._device.busy()

    async def _tell_all(self, trigger: str) -> None:
        self._complete_at = self._loop.time()
        components = list(self._device.components())
        await self._send("COMPLETE", trigger, [one.document() for one in components])
        self._told = {one.name: one for one in components}

    async def _tell_changes(self, trigger: str, record: Record | None = None) -> None:
        told = self._told or {}
        now = {one.name: one for one in self._device.components()}
        listed = [one.document() for one in now.values() if one != told.get(one.name)]
        listed += [
            {**one.document(), "componentStatusDetails": None, "status": "UNINSTALLED"}
            for name, one in told.items()
            if name not in now
        ]
        more = {"deploymentInformation": self._deployment(record, listed)} if record else {}
        await self._send("PARTIAL", trigger, listed, more)
        self._told = now

    def _deployment(self, record: Record, listed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        changed = {one["componentName"] for one in listed}
        given = record.fleet
        return {
            "status": record.status.value,
            "statusDetails": {
                "detailedStatus": record.detail,
                "failureCause": record.failure_cause and record.failure_cause[:CAUSE_LENGTH],
                "errorStack": record.error_stack,
                "errorTypes": record.error_types,
            },
            "fleetConfigurationArnForStatus": given.configuration_arn if given else None,
            "deploymentId": given.deployment_id if given else record.id,
            "unchangedRootComponents": sorted(set(record.request.roots_to_add) - changed),
        }

    # Sending

    async def _pace(self) -> None:
        await asyncio.sleep(max(0.0, self._sent_at + self._spacing - self._loop.time()))

    async def _send(
        self,
        kind: str,
        trigger: str,
        components: Sequence[Mapping[str, Any]],
        more: Mapping[str, Any] | None = None,
    ) -> None:
        broken = any(one.state is State.BROKEN for one in self._device.components())
        parts = _split(components, LARGEST - len(json.dumps(more or {})))
        for number, part in enumerate(parts, 1):
            await self._pace()
            sequence = self._known.fact(_SEQUENCE, 0) + 1
            self._known.set_fact(_SEQUENCE, sequence)
            message: dict[str, Any] = {
                **self._facts,
                "overallDeviceStatus": "UNHEALTHY" if broken else "HEALTHY",
                "sequenceNumber": sequence,
                "timestamp": round(self._clock() * 1000),
                "messageType": kind,
                "trigger": trigger,
                "components": part,
                **(more or {}),
            }
            if len(parts) > 1:
                message["chunkInfo"] = {"chunkId": number, "totalChunks": len(parts)}
            await self._publish(self._topic, message)
            self._sent_at = self._loop.time()
        log.info("Status reported", type=kind, trigger=trigger, components=len(components))


def _trigger(record: Record) -> str:
    if record.fleet is None:
        return "LOCAL_DEPLOYMENT"
    by_job = record.fleet.channel is Channel.JOB
    return "THING_GROUP_DEPLOYMENT" if by_job else "THING_DEPLOYMENT"


def _essence(one: Component | None) -> tuple[Any, ...]:
    """Return what makes a difference worth a message of its own."""
    return (one.version, one.state, one.is_root, one.arns) if one else ()


def _split(components: Sequence[Mapping[str, Any]], room: int) -> list[list[Mapping[str, Any]]]:
    """Return the components in parts that each fit the room in one message."""
    parts: list[list[Mapping[str, Any]]] = [[]]
    size = 0
    for one in components:
        length = len(json.dumps(one)) + 2
        if parts[-1] and size + length > room:
            parts.append([])
            size = 0
        parts[-1].append(one)
        size += length
    return parts
