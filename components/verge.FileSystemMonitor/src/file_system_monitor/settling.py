"""Files found without an event, until they have stayed unchanged long enough."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from file_system_monitor.states import Sighting


class Settling:
    """What waits; times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._waiting: dict[str, Sighting] = {}
        self._times: list[tuple[float, str]] = []

    def wait(self, sighting: Sighting, until: float) -> None:
        """Keep a sighting until that time; it replaces an earlier one of the same path."""
        self._waiting[sighting.place] = sighting
        heapq.heappush(self._times, (until, sighting.place))

    def forget(self, place: str) -> None:
        """Wait for this path no longer."""
        self._waiting.pop(place, None)

    def take_due(self, now: float) -> list[Sighting]:
        """Return, once, what has waited long enough."""
        due = []
        while self._times and self._times[0][0] <= now:
            _, place = heapq.heappop(self._times)
            if sighting := self._waiting.pop(place, None):
                due.append(sighting)
        return due

    def next_due(self) -> float | None:
        """Return when the next one is due; None if nothing waits."""
        return self._times[0][0] if self._times else None
