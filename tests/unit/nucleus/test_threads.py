"""Blocking work beside the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from verge.nucleus import threads


async def test_results_and_errors_come_back() -> None:
    """What the work returns or raises is returned or raised where it is awaited."""
    assert await threads.run(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)


async def test_cancelled_caller_does_not_wait() -> None:
    """Who is cancelled goes at once; the work is asked to stop and its outcome is dropped."""
    stop, began, ended = threads.Stop(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        try:
            stop.pause(60)
        finally:
            ended.set()

    task = asyncio.ensure_future(threads.run(work, stop=stop))
    await asyncio.to_thread(began.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 5)


async def test_work_that_does_not_look_holds_nothing_up() -> None:
    """Work that hangs for good keeps neither its caller nor the end of the process waiting."""
    hangs = threading.Event()
    task = asyncio.ensure_future(threads.run(hangs.wait))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert all(one.daemon for one in threading.enumerate() if one.name == "work")
    hangs.set()


def test_stop_is_seen() -> None:
    """Once asked, every look and every wait ends the work."""
    stop = threads.Stop()
    stop.check()
    stop.pause(0)
    stop.request()
    for look in (stop.check, lambda: stop.pause(60)):
        with pytest.raises(threads.StoppedError):
            look()
