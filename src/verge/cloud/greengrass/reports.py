"""Status messages of core devices (contract 5.9), read leniently: devices of all ages send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from verge.cloud import errors

CLASSIC = "aws_nucleus_classic"
UNINSTALLED = "UNINSTALLED"
STATES = frozenset(
    {
        *("NEW", "INSTALLED", "STARTING", "RUNNING", "STOPPING"),
        *("ERRORED", "BROKEN", "FINISHED", UNINSTALLED),
    }
)
STATUSES = frozenset({"HEALTHY", "UNHEALTHY"})
MAX_COMPONENTS = 10_000
_END_OF_TIME = 253_402_300_800_000
"""Milliseconds until the year 10,000: clients cannot show later times, and refuse whole lists."""


class ReportError(errors.CloudError):
    """A status message that cannot be taken in."""


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one component; `sources` are ARNs of configurations or "LOCAL"-like ids."""

    name: str
    version: str
    state: str
    root: bool
    reason: str
    codes: tuple[str, ...]
    sources: tuple[str, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `sent` is the device's time in milliseconds since the epoch.

    `complete` says that what it does not list is gone, once all of `chunks` have come; `chunk`
    counts from 1. `deployment` is `deploymentInformation` as it came.
    """

    core_version: str | None
    platform: str | None
    architecture: str | None
    runtime: str
    status: str
    sequence: int
    sent: int
    complete: bool
    chunk: int
    chunks: int
    components: tuple[Component, ...]
    deployment: Mapping[str, Any]


def read(message: Mapping[str, Any]) -> Report:
    """Return what a message says. Raises ReportError for one without a status of the device.

    Entries of components without name, version or a known state are left out, and numbers that
    are none count as missing.
    """
    status = message.get("overallDeviceStatus")
    if not isinstance(status, str) or status not in STATUSES:
        raise ReportError(
            f"cannot take in a status message: overallDeviceStatus is {status!r:.60}, "
            "not HEALTHY or UNHEALTHY"
        )
    chunk = _mapping(message.get("chunkInfo"))
    components = message.get("components")
    return Report(
        core_version=_text(message.get("ggcVersion")),
        platform=_text(message.get("platform")),
        architecture=_text(message.get("architecture")),
        runtime=_text(message.get("runtime")) or CLASSIC,
        status=status,
        sequence=_number(message, "sequenceNumber", default=0),
        sent=_number(message, "timestamp", default=0, below=_END_OF_TIME),
        complete=message.get("messageType", "COMPLETE") == "COMPLETE",
        chunk=_number(chunk, "chunkId", default=1),
        chunks=_number(chunk, "totalChunks", default=1),
        components=tuple(_components(components if isinstance(components, list) else [])),
        deployment=_mapping(message.get("deploymentInformation")),
    )


def _components(entries: list[Any]) -> list[Component]:
    read_ones = (_component(entry) for entry in entries[:MAX_COMPONENTS])
    return [component for component in read_ones if component is not None]


def _component(entry: Any) -> Component | None:
    given = _mapping(entry)
    name, version = _text(given.get("componentName")), _text(given.get("version"))
    state = _text(given.get("status"))
    if name is None or version is None or state is None or state not in STATES:
        return None
    details = _mapping(given.get("componentStatusDetails"))
    return Component(
        name=name,
        version=version,
        state=state,
        root=given.get("isRoot") is True,
        reason=(_text(details.get("statusReason")) or "")[:1000],
        codes=_texts(details.get("statusCodes")),
        sources=_texts(given.get("fleetConfigArns")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value[:255] if isinstance(value, str) and value else None


def _texts(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else []
    return tuple(item for item in items if isinstance(item, str) and item)


def _number(given: Mapping[str, Any], key: str, *, default: int, below: int = 2**63) -> int:
    value = given.get(key, default)
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below
    return value if usable else default
