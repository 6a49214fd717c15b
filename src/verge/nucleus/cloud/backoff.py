"""How long to wait before the next attempt, so that a fleet does not come back all at once."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST = 1.0
LONGEST = 120.0
"""Seconds. Short enough that a link is back soon after the network is."""


class Backoff:
    """Doubling waiting times, each with jitter: between half of it and all of it."""

    def __init__(
        self,
        first: float = FIRST,
        longest: float = LONGEST,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self._next = first

    def reset(self) -> None:
        """Begin anew, because the last attempt went well."""
        self._next = self._first

    def wait(self) -> float:
        """Return how many seconds to wait now."""
        present = self._next
        self._next = min(present * 2, self._longest)
        return self._jitter(present / 2, present)
