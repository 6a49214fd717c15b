"""The arithmetic of shadow documents: merge, metadata and difference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from verge.cloud import strict_json
from verge.cloud.shadows import errors

SECTIONS = ("desired", "reported")
LIMIT = 8192
DEPTH = 8

Tree = dict[str, Any]


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """A request to change a shadow; `state` has `desired` and `reported`, each may be None."""

    state: Tree
    version: int | None = None
    token: str | None = None


def parse(payload: bytes) -> Update:
    """Read and check a request. Raises ShadowError."""
    try:
        found = strict_json.parse(payload)
    except ValueError as error:
        raise errors.ShadowError(errors.INVALID, "Payload contains invalid json") from error
    if not isinstance(found, dict):
        raise errors.ShadowError(errors.INVALID, "Payload is no JSON object")
    state, version, token = found.get("state"), found.get("version"), found.get("clientToken")
    if not isinstance(state, dict):
        raise errors.ShadowError(errors.INVALID, "Missing required node: state")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        raise errors.ShadowError(errors.INVALID, "Invalid version")
    if token is not None and not (isinstance(token, str) and len(token) <= 64):
        raise errors.ShadowError(errors.INVALID, "Invalid clientToken")
    check(state)
    return Update(state=state, version=version, token=token)


def check(state: Mapping[str, Any]) -> None:
    """Refuse sections that are none and trees that are too deep. Raises ShadowError."""
    for section, tree in state.items():
        if section not in SECTIONS:
            raise errors.ShadowError(errors.INVALID, f"State contains an invalid node: '{section}'")
        if tree is not None and not isinstance(tree, dict):
            raise errors.ShadowError(errors.INVALID, f"State node must be an object: '{section}'")
        if _is_deeper(tree, DEPTH):
            raise errors.ShadowError(
                errors.INVALID, f"JSON contains too many levels of nesting; maximum is {DEPTH}"
            )


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> Tree:
    """Return the old tree with the new one over it; null takes away, lists are replaced."""
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def merge_metadata(old: Mapping[str, Any], new: Mapping[str, Any], time: int) -> Tree:
    """Return the times of the old tree with those of a change over them."""
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            # A leaf's time is a number; below a key of that name there is more metadata.
            inner = isinstance(below, dict) and not isinstance(below.get("timestamp"), int)
            merged[key] = merge_metadata(below if inner and below else {}, value, time)
        else:
            merged[key] = stamp(value, time)
    return merged


def stamp(value: Any, time: int) -> Any:
    """Return the metadata of a value that is set now: a time for each leaf."""
    if isinstance(value, dict):
        return {key: stamp(each, time) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [stamp(each, time) for each in value]
    return {"timestamp": time}


def difference(desired: Mapping[str, Any], reported: Mapping[str, Any]) -> Tree:
    """Return the part of what is desired that is not reported."""
    found: Tree = {}
    for key, value in desired.items():
        known = reported.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            below = difference(value, known)
            if below:
                found[key] = below
        elif key not in reported or not _same(known, value):
            found[key] = value
    return found


def select(metadata: Mapping[str, Any], tree: Mapping[str, Any]) -> Tree:
    """Return the metadata of the keys of a tree."""
    return {
        key: select(metadata[key], value)
        if isinstance(value, dict) and isinstance(metadata[key], dict)
        else metadata[key]
        for key, value in tree.items()
        if key in metadata
    }


def size(state: Mapping[str, Any]) -> int:
    """Return the bytes that a state takes as JSON without blanks."""
    return len(json.dumps(state, separators=(",", ":"), ensure_ascii=False).encode())


def _same(one: Any, other: Any) -> bool:
    # JSON's true is not 1.
    return type(one) is type(other) and bool(one == other)


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects lie in one another on more levels; looks no further than that."""
    if not isinstance(value, dict | list):
        return False
    below = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in below)
