"""The documents that come in and go out; `schemas/` holds their JSON schemas."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeGuard

from edge_ipc import documents

from object_detection.errors import DetectionError, PictureError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from object_detection.card import Card
    from object_detection.detector import Analysis

RESULT = "verge.detections/1"
REJECTION = "verge.rejection/1"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""An id names a file, so it can hold nothing that leads out of a directory."""

_FARTHEST = 2**63
"""Seconds from the epoch; no file system has times beyond."""


class EventError(DetectionError):
    """A message has no usable id, so it cannot even be answered."""


@dataclass(frozen=True)
class FileEvent:
    """A request to look at one file."""

    id: str
    path: str
    """Absolute; empty if the message holds none that can be used."""
    size: int | None = None
    """In bytes, when it was announced; None if the message does not say."""
    modified: float | None = None
    """When it was written last, seconds since the epoch; None if the message does not say."""


def read_event(document: Any) -> FileEvent:
    """Read a file event. Raises EventError if it cannot be answered."""
    if not isinstance(document, dict):
        raise EventError("the message is no JSON object")
    identity = document.get("id")
    if not isinstance(identity, str) or not _ID.fullmatch(identity):
        raise EventError("its `id` is no text of 1 to 128 letters, digits, dots, dashes or lines")
    path, size, modified = (document.get(key) for key in ("path", "size", "modified"))
    return FileEvent(
        identity,
        path if _is_usable(path) else "",
        size if isinstance(size, int) else None,
        float(modified) if _is_time(modified) else None,
    )


def _is_usable(path: Any) -> TypeGuard[str]:
    """Whether it is an absolute path, and one that an answer can repeat: it has to be UTF-8."""
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        return False
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_time(value: Any) -> TypeGuard[float]:
    """Whether it is a number of seconds; JSON has whole numbers that are no float."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < _FARTHEST)


def check_event(event: FileEvent) -> None:
    """Return if the event names a file. Raises PictureError."""
    if not event.path:
        raise PictureError("invalid_event", "the message holds no absolute `path`")


def make_result(
    event: FileEvent, device: str, card: Card, analysis: Analysis, annotated: str | None
) -> dict[str, Any]:
    """Return the result document, without its total time."""
    picture = analysis.picture
    return {
        "schema": RESULT,
        "id": event.id,
        "device": device,
        "picture": {
            "path": event.path,
            "sha256": picture.sha256,
            "width": picture.width,
            "height": picture.height,
            "size": picture.size,
        },
        "model": {"name": card.name, "version": card.version, "sha256": card.sha256},
        "detections": [
            {**vars(detection), "box": list(detection.box)} for detection in analysis.detections
        ],
        "timings_ms": dict(analysis.timings),
        "annotated": annotated,
        "time": _now(),
    }


def is_result(document: Mapping[str, Any]) -> bool:
    """Tell a result from a rejection."""
    return document.get("schema") == RESULT


def make_rejection(event: FileEvent, device: str, error: PictureError) -> dict[str, Any]:
    """Return the rejection document."""
    return {
        "schema": REJECTION,
        "id": event.id,
        "device": device,
        "picture": {"path": event.path},
        "code": error.code,
        "reason": error.reason,
        "time": _now(),
    }


def shorten(document: Mapping[str, Any], limit: int | None) -> Mapping[str, Any]:
    """Return a result with so many of its detections, the best, as make at most `limit` bytes.

    `truncated` tells how many were left out. What needs no shortening is returned itself.
    """
    found = document.get("detections")
    if limit is None or not found or len(documents.encode(document)) <= limit:
        return document
    bare = {**document, "detections": [], "truncated": 0}
    room = limit - len(documents.encode(bare)) + len("0")
    kept = 0
    for number, detection in enumerate(found, 1):
        room -= len(documents.encode(detection)) + len("," if kept else "")
        if room < len(str(len(found) - number)):
            break
        kept = number
    return {**bare, "detections": found[:kept], "truncated": len(found) - kept}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
