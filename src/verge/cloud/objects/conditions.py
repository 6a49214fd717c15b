"""Conditional requests: `If-Match` and its kin, and ranges."""

from __future__ import annotations

import re
from typing import NamedTuple

from werkzeug import http

from verge.cloud.objects import call, faults, store

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Range(NamedTuple):
    """Bytes from `start` to before `end`."""

    start: int
    end: int


class UnmodifiedError(Exception):
    """The client has what it asks for (304)."""


def check_read(request: call.Call, stored: store.Object, prefix: str = "If-") -> None:
    """Raise FaultError (412) or UnmodifiedError where the conditions do not hold."""
    match, none_match = request.header(f"{prefix}Match"), request.header(f"{prefix}None-Match")
    since = _time(request.header(f"{prefix}Modified-Since"))
    before = _time(request.header(f"{prefix}Unmodified-Since"))
    modified = int(stored.modified)
    if match is not None and not _matches(match, stored.etag):
        raise _failed("If-Match")
    if match is None and before is not None and modified > before:
        raise _failed("If-Unmodified-Since")
    same = none_match is not None and _matches(none_match, stored.etag)
    if same or (none_match is None and since is not None and modified <= since):
        if prefix != "If-":
            raise _failed("a condition on the source")
        raise UnmodifiedError


def check_write(request: call.Call, stored: store.Object | None) -> None:
    """Raise FaultError where the conditions of a write do not hold."""
    if request.header("If-None-Match") is not None and stored is not None:
        raise _failed("If-None-Match")
    match = request.header("If-Match")
    if match is not None and stored is None:
        raise faults.FaultError("NoSuchKey", "The specified key does not exist.")
    if match is not None and stored is not None and not _matches(match, stored.etag):
        raise _failed("If-Match")


def byte_range(header: str | None, size: int) -> Range | None:
    """Return what a `Range` header asks for; None for all of it. Raises FaultError."""
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or match[0] == "bytes=-":
        return None  # other units and several ranges are ignored, as S3 does
    if match[1] == "":
        chosen = Range(max(0, size - int(match[2])), size)
    else:
        last = int(match[2]) if match[2] else size
        if last < int(match[1]):
            return None
        chosen = Range(int(match[1]), min(size, last + 1))
    if chosen.start >= chosen.end:
        raise faults.FaultError("InvalidRange", "The requested range is not satisfiable")
    return chosen


def _matches(header: str, etag: str) -> bool:
    return any(each.strip().strip('"') in {"*", etag} for each in header.split(","))


def _time(header: str | None) -> int | None:
    moment = http.parse_date(header)
    return None if moment is None else int(moment.timestamp())


def _failed(condition: str) -> faults.FaultError:
    return faults.FaultError(
        "PreconditionFailed",
        f"At least one of the pre-conditions you specified did not hold: {condition}",
    )
