"""Which pictures are worth a look."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_ipc import documents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capture_uploader.settings import Settings

RESULT = "verge.detections/1"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z")
_DEVICE = re.compile(r"[A-Za-z0-9:_-]{1,128}")


@dataclass(frozen=True)
class Result:
    """What the detector said of one picture."""

    id: str
    device: str
    time: str
    """ISO 8601, UTC."""
    picture: str
    """Path."""
    sha256: str
    score: float
    """The best one; 0 without detections."""
    document: Mapping[str, Any]

    @property
    def is_truncated(self) -> bool:
        """Whether the message has less than the detector has stored."""
        return "truncated" in self.document


def read_result(document: Any) -> Result | None:
    """Read a result; None for anything else, a rejection for instance."""
    try:
        if document["schema"] != RESULT or not _ID.fullmatch(document["id"]):
            return None
        if not _DEVICE.fullmatch(document["device"]) or not _TIME.fullmatch(document["time"]):
            return None
        if not isinstance(document["detections"], list) or "\0" in document["picture"]["path"]:
            return None
        documents.encode(document)  # Text that UTF-8 cannot hold is a ValueError.
        return Result(
            id=document["id"],
            device=document["device"],
            time=document["time"],
            picture=str(document["picture"]["path"]),
            sha256=str(document["picture"]["sha256"]),
            score=max((float(one["score"]) for one in document["detections"]), default=0.0),
            document=document,
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def is_wanted(result: Result, wanted: Settings) -> bool:
    """Whether a picture goes to S3: the detector was unsure of it, or it is a sample.

    A sample is drawn from the id, so the same pictures are drawn after a restart.
    """
    if wanted.score_above <= result.score < wanted.score_below:
        return True
    if not wanted.sample_every:
        return False
    number = int.from_bytes(hashlib.sha256(result.id.encode()).digest()[:8], "big")
    return number % wanted.sample_every == 0
