"""How many files the monitor has seen, announced and refused since it started."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = "verge.counters/1"


@dataclass
class Counters:
    """Counts since the start of this process; `waiting` is how many files have no answer now."""

    seen: int = 0
    """File states that were new."""
    delivered: int = 0
    """Announced for the first time."""
    redelivered: int = 0
    """Announced again, for want of an answer."""
    answered: int = 0
    rejected: int = 0
    """Refused by the monitor itself."""
    waiting: int = 0

    def document(self, device: str, started: str, now: str) -> dict[str, Any]:
        """Return the message; `started` and `now` are ISO 8601 in UTC."""
        return {
            "schema": SCHEMA,
            "device": device,
            "since": started,
            **asdict(self),
            "time": now,
        }

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())
