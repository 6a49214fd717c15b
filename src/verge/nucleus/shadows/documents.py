"""Shadow documents: merging updates, times of change and the difference that is left to do.

The rules are those of AWS IoT: objects merge, null removes, everything else replaces; metadata
mirrors the state with the time of each value's last change, in whole seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

MAX_BYTES = 8 * 1024
"""The longest state of a shadow as JSON, metadata apart."""

MAX_DEPTH = 8
"""The deepest nesting in `desired` or `reported`."""

SECTIONS = ("desired", "reported")


class RequestError(ValueError):
    """A request that cannot be fulfilled; `code` is the HTTP status AWS IoT reports for it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """One shadow: `state` and `metadata` hold `desired` and `reported`, each only if set."""

    version: int
    state: dict[str, Any] = {}
    metadata: dict[str, Any] = {}


class Sections(msgspec.Struct, forbid_unknown_fields=True):
    """The state of an update; a section that is null is removed, one that is unset is kept."""

    desired: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    reported: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET

    def given(self) -> dict[str, dict[str, Any] | None]:
        """Return the sections that the update speaks of."""
        values = ((name, getattr(self, name)) for name in SECTIONS)
        return {name: value for name, value in values if value is not msgspec.UNSET}


class Update(msgspec.Struct, rename="camel"):
    """The payload of an update."""

    state: Sections | None = None
    version: int | None = None
    client_token: str | None = None


_updates = msgspec.json.Decoder(Update)


def read_update(payload: bytes) -> Update:
    """Return an update. Raises RequestError if it is malformed, too long or too deep."""
    if len(payload) > 2 * MAX_BYTES:  # names of sections, version and token need little
        raise RequestError(413, f"the payload exceeds the maximum size of {MAX_BYTES} bytes")
    try:
        payload.decode()
        update = _updates.decode(payload)
    except msgspec.ValidationError as error:
        raise RequestError(400, f"cannot read the update: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(400, f"the payload is no valid JSON: {error}") from error
    if update.state is None:
        raise RequestError(400, "missing required node: state")
    if update.client_token is not None and not 0 < len(update.client_token.encode()) <= 64:
        raise RequestError(400, "clientToken must have 1 to 64 bytes")
    for name, section in update.state.given().items():
        if _depth(section) > MAX_DEPTH:
            raise RequestError(400, f"{name} is nested deeper than {MAX_DEPTH} levels")
    return update


def apply(document: Document | None, update: Update, now: int, version: int) -> Document:
    """Return the document with the update merged in. Raises RequestError if it gets too long."""
    state = dict(document.state) if document else {}
    metadata = dict(document.metadata) if document else {}
    assert update.state is not None  # noqa: S101 - read_update has seen to it
    for name, section in update.state.given().items():
        merged, times = merge(state.get(name, {}), metadata.get(name, {}), section or {}, now)
        if section is None or not merged:
            state.pop(name, None)
            metadata.pop(name, None)
        else:
            state[name], metadata[name] = merged, times
    if len(msgspec.json.encode(state)) > MAX_BYTES:
        raise RequestError(413, f"the shadow would exceed its maximum size of {MAX_BYTES} bytes")
    return Document(version, state, metadata)


def merge(
    state: Mapping[str, Any], metadata: Mapping[str, Any], update: Mapping[str, Any], now: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return state and metadata after an update of both."""
    values, times = dict(state), dict(metadata)
    for key, wanted in update.items():
        if wanted is None:
            values.pop(key, None)
            times.pop(key, None)
        elif isinstance(wanted, Mapping):
            present = values.get(key)
            if isinstance(present, Mapping):
                values[key], times[key] = merge(present, times[key], wanted, now)
            else:
                values[key], times[key] = merge({}, {}, wanted, now)
        else:
            values[key], times[key] = wanted, stamp(wanted, now)
    return values, times


def stamp(value: Any, now: int) -> Any:
    """Return metadata for a value that was written now; lists have a time for each element."""
    if isinstance(value, Mapping):
        return {key: stamp(child, now) for key, child in value.items()}
    if isinstance(value, list):
        return [stamp(child, now) for child in value]
    return {"timestamp": now}


def difference(document: Document) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is desired and not reported, and when each of it was last desired."""
    return _difference(
        document.state.get("desired", {}),
        document.metadata.get("desired", {}),
        document.state.get("reported", {}),
    )


def _difference(
    desired: Mapping[str, Any], metadata: Mapping[str, Any], reported: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    values: dict[str, Any] = {}
    times: dict[str, Any] = {}
    for key, wanted in desired.items():
        present = reported.get(key)
        if isinstance(wanted, Mapping) and isinstance(present, Mapping):
            below, when = _difference(wanted, metadata[key], present)
            if below:
                values[key], times[key] = below, when
        elif wanted != present or isinstance(wanted, bool) is not isinstance(present, bool):
            values[key], times[key] = wanted, metadata[key]
    return values, times


def echo(update: Update, now: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state that an update asked for, as it was written, and its metadata."""
    assert update.state is not None  # noqa: S101 - read_update has seen to it
    state = update.state.given()
    times = {name: stamp_update(section, now) for name, section in state.items() if section}
    return dict(state), times


def stamp_update(section: Mapping[str, Any], now: int) -> dict[str, Any]:
    """Return metadata for what an update writes; what it removes has none."""
    return {
        key: stamp_update(value, now) if isinstance(value, Mapping) else stamp(value, now)
        for key, value in section.items()
        if value is not None
    }


def _depth(value: Any) -> int:
    """Return how deeply objects and lists are nested, looking no further than the limit."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        inner: list[Any] = []
        for node in level:
            if isinstance(node, Mapping):
                inner.extend(node.values())
            elif isinstance(node, list):
                inner.extend(node)
        level = [node for node in inner if isinstance(node, Mapping | list)]
        depth += 1
    return depth
