"""The thread that keeps time."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.unit.cloud.jobs import plant
from verge.cloud.jobs import worker


@contextmanager
def working(work: Callable[[], float | None]) -> Iterator[worker.Worker]:
    """Run a worker on the clock of the machine."""
    found = worker.Worker(work, clock=time.time, name="test")
    found.start()
    try:
        yield found
    finally:
        found.stop()


def test_it_sleeps_until_something_is_due() -> None:
    """Work is done at once, at the time it asked for, when woken, and at no other time."""
    calls: queue.Queue[float] = queue.Queue()
    following = iter([time.time() + 0.2, None, None])

    def work() -> float | None:
        calls.put(time.time())
        return next(following)

    with working(work) as found:
        first = calls.get(timeout=5)
        second = calls.get(timeout=5)
        assert 0.1 < second - first < 4
        assert calls.empty()
        found.wake()
        calls.get(timeout=5)
    assert calls.empty()


def test_a_clock_that_is_set_back() -> None:
    """What is due in a moment is done in a moment, though the clock is set back by an hour."""
    calls: queue.Queue[int] = queue.Queue()
    following = iter([0.2, None])
    behind = 0.0

    def clock() -> float:
        return time.time() - behind

    def work() -> float | None:
        calls.put(1)
        seconds = next(following)
        return None if seconds is None else clock() + seconds

    class SetBack(worker.Worker):
        def wake(self, delay: float = 0.0) -> None:
            nonlocal behind
            super().wake(delay)
            behind = 3600.0

    found = SetBack(work, clock=clock, name="test")
    found.start()
    try:
        for _ in range(2):
            calls.get(timeout=5)
    finally:
        found.stop()


def test_it_outlives_an_error() -> None:
    """What fails is tried again when it is woken, not given up."""
    calls: queue.Queue[int] = queue.Queue()

    def work() -> float | None:
        calls.put(1)
        if calls.qsize() == 1:
            raise OSError("disk full")
        return None

    with working(work) as found:
        while calls.qsize() < 2:
            found.wake()
            time.sleep(0)


def test_the_engine_runs_by_itself(line: plant.Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started, the engine notices a thing that joins without being asked."""
    monkeypatch.setattr(line, "clock", time.time)
    line.restart()
    line.create()
    told: queue.Queue[str] = queue.Queue()
    line.engine.on_execution(lambda execution: told.put(execution.thing))
    line.engine.start()
    try:
        line.things.add("line", "press-4")
        assert told.get(timeout=10) == "press-4"
    finally:
        line.engine.stop()
