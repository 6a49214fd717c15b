"""Blocking work beside the event loop, which never has to wait for it.

The threads are daemons: a name server that does not answer holds up neither a shutdown nor, as in
the loop's own executor, other work.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class StoppedError(Exception):
    """The work was asked to stop, and did."""


class Stop:
    """Asks work in a thread to stop; the work has to look, or to wait with `pause`."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        """Ask."""
        self._event.set()

    def check(self) -> None:
        """Raise StoppedError if asked."""
        if self._event.is_set():
            raise StoppedError

    def pause(self, seconds: float) -> None:
        """Wait. Raises StoppedError as soon as asked."""
        if self._event.wait(seconds):
            raise StoppedError


async def run(
    work: Callable[[], Result], *, name: str = "work", stop: Stop | None = None
) -> Result:
    """Return what the work returns, or raise what it raises.

    If the caller is cancelled, the work is asked to stop and its outcome is dropped.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if ended.done():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(result)  # type: ignore[arg-type]  # it is one where there is no error

    def body() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - raised again where it is awaited
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has gone, and so has who waited
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=body, name=name, daemon=True).start()
    try:
        return await ended
    except asyncio.CancelledError:
        if stop:
            stop.request()
        raise
