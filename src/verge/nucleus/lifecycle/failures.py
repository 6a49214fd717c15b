"""What went wrong with a component, and how often in each state (Greengrass contract 2.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from verge.nucleus.lifecycle import states

LIMIT = 3
"""Errors in one state after which a component is BROKEN: two automatic recoveries."""

RESET_AFTER = 3600.0
"""Seconds without an error in a state after which its count starts over."""


@dataclass(frozen=True)
class Failure:
    """Why a step, and with it the component, failed."""

    code: states.StatusCode
    reason: str


class ErrorCount:
    """Counts the errors of one component, each state on its own."""

    def __init__(self, clock: Callable[[], float], reset_after: float = RESET_AFTER) -> None:
        self._clock = clock
        self.reset_after = reset_after
        self._times: dict[states.State, list[float]] = {}

    def add(self, state: states.State) -> bool:
        """Count an error in a state and return whether it was one too many."""
        now = self._clock()
        times = self._times.setdefault(state, [])
        if times and now - times[-1] >= self.reset_after:
            times.clear()
        times.append(now)
        return len(times) >= LIMIT

    def left_well(self, state: states.State) -> None:
        """Forget the errors of a state that was left without one."""
        self._times.pop(state, None)

    def clear(self) -> None:
        """Forget all errors."""
        self._times.clear()
