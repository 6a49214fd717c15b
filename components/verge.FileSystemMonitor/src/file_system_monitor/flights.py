"""Which files are announced and not answered yet, and when to announce them again.

A consumer answers in the order it was told. So an answer to a later announcement shows that an
earlier one was lost, and silence shows that nobody listens; the first is repeated at once, the
second after a delay that doubles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from file_system_monitor.ledger import Entry

WINDOW = 64
"""Announcements without an answer at one time: the consumer never drowns in them."""
LONGEST_DELAY = 15.0
"""Seconds at most until a consumer that came back hears of a file again."""


@dataclass
class _Flight:
    entry: Entry
    number: int = 0
    """Rises with every announcement of any file; 0 before the first."""
    sent: float = 0.0
    attempts: int = 0


class Flights:
    """The window of open announcements. Times are seconds of a monotonic clock."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._open: dict[str, _Flight] = {}
        self._number = 0
        self._last_answer = float("-inf")

    def room(self) -> int:
        """Return how many more files may be announced."""
        return self._window - len(self._open)

    def take(self, entry: Entry) -> None:
        """Take a file into the window, to be announced now."""
        self._open.setdefault(entry.id, _Flight(entry))

    def drop(self, identity: str) -> None:
        """Forget a file that no longer needs an answer."""
        self._open.pop(identity, None)

    def answered(self, identity: str, now: float) -> None:
        """Note an answer: a sign of life, and proof that earlier announcements were lost."""
        flight = self._open.pop(identity, None)
        if flight is None:
            return
        self._last_answer = now
        for other in self._open.values():
            other.attempts = min(other.attempts, 1)
            if 0 < other.number < flight.number:
                other.number = 0

    def due(self, now: float, delay: float) -> list[Entry]:
        """Return the files to announce now, in order."""
        ready = [flight for flight in self._open.values() if self._when(flight, delay) <= now]
        return [flight.entry for flight in sorted(ready, key=lambda flight: flight.entry.sequence)]

    def announced(self, identity: str, now: float) -> None:
        """Note that a file was announced (or that announcing it failed, which waits as long)."""
        flight = self._open[identity]
        self._number += 1
        flight.number = self._number
        flight.sent = now
        flight.attempts += 1

    def next_due(self, delay: float) -> float | None:
        """Return when the next file is due; None if none is open."""
        return min((self._when(flight, delay) for flight in self._open.values()), default=None)

    def _when(self, flight: _Flight, delay: float) -> float:
        if flight.number == 0:
            return float("-inf")
        wait = min(delay * 2.0 ** min(flight.attempts - 1, 16), max(delay, LONGEST_DELAY))
        return max(flight.sent, self._last_answer) + wait
