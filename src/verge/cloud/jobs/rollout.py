"""How fast a job may be handed to its things: `jobExecutionsRolloutConfig` (contract 3.1).

A rate is kept by counting the things that were told within the last minute, so it holds across a
restart, and a fleet smaller than the rate is told at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WINDOW = 60.0
_STEPS = 200  # beyond it every factor has long reached every maximum


def rate_per_minute(rollout: Mapping[str, Any], notified: int, succeeded: int) -> int | None:
    """Return how many things a minute may be told now; None: as many as there are.

    An exponential rate grows by its factor each time its criterion is met once more.
    """
    maximum = rollout.get("maximumPerMinute")
    exponential = rollout.get("exponentialRate")
    if not exponential:
        return maximum
    criteria = exponential["rateIncreaseCriteria"]
    if "numberOfNotifiedThings" in criteria:
        steps = notified // criteria["numberOfNotifiedThings"]
    else:
        steps = succeeded // criteria["numberOfSucceededThings"]
    growth = exponential["incrementFactor"] ** min(steps, _STEPS)
    return int(min(exponential["baseRatePerMinute"] * growth, maximum or 1000))


def allowance(rate: int | None, recent: Sequence[float], now: float) -> tuple[int | None, float]:
    """Return how many more may be told now, and when the next one may be.

    `recent` are the times, ascending, at which things were told within the last minute.
    """
    if rate is None:
        return None, now
    if len(recent) < rate:
        return rate - len(recent), now
    return 0, recent[len(recent) - rate] + WINDOW
