"""Waiting times between attempts."""

from __future__ import annotations

from verge.nucleus.cloud import backoff


def test_waits_double_up_to_the_longest() -> None:
    """From a second to two minutes, then the same again and again, until something went well."""
    waits = backoff.Backoff(jitter=lambda _, longest: longest)
    assert [waits.wait() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 64, 120, 120]
    waits.reset()
    assert waits.wait() == 1


def test_devices_do_not_come_back_together() -> None:
    """Each wait is somewhere between half of it and all of it."""
    first = [backoff.Backoff(first=8).wait() for _ in range(200)]
    assert all(4 <= one <= 8 for one in first)
    assert max(first) - min(first) > 1
