"""Lines out of a process's pipe, without ever stalling the nucleus."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import termios
from collections.abc import Callable

from verge.nucleus import logs

CHUNK = 64 * 1024
"""Bytes read in one turn of the event loop, the size of a pipe's buffer."""

RATE = 4 * 1024 * 1024
"""Bytes a second taken from one pipe in the long run.

A program that writes faster waits in its own write call: it slows itself, not the nucleus.
"""

BURST = 8 * 1024 * 1024
"""Bytes taken at full speed after a quiet time."""


class Reader:
    """Reads one pipe to its end and hands over its lines, without their ends."""

    def __init__(
        self, pipe: int, line: Callable[[bytes], None], closed: Callable[[], None]
    ) -> None:
        self._pipe = pipe
        self._line = line
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._skipping = False
        self._credit = float(BURST)
        self._refilled = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.open = True
        os.set_blocking(pipe, False)
        self._loop.add_reader(pipe, self._read)

    def drain(self) -> None:
        """Take what is in the pipe now, then close it without telling."""
        # No more than that: others may hold the pipe and fill it as fast as it is read.
        if self.open and (waiting := _waiting_in(self._pipe)):
            self._feed(os.read(self._pipe, waiting))
        self.close()

    def close(self) -> None:
        """Stop reading and close the pipe."""
        if not self.open:
            return
        self.open = False
        if self._timer:
            self._timer.cancel()
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        if self._rest and not self._skipping:
            self._line(self._rest)
        self._rest = b""

    def _read(self) -> None:
        try:
            data = os.read(self._pipe, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self._closed()
            return
        self._feed(data)
        self._pay(len(data))

    def _feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False
            else:
                self._line(line[: logs.LINE_LIMIT])
        if len(self._rest) > logs.LINE_LIMIT:
            if not self._skipping:
                self._line(self._rest[: logs.LINE_LIMIT])
            self._skipping = True
            self._rest = b""

    def _pay(self, size: int) -> None:
        now = self._loop.time()
        self._credit = min(BURST, self._credit + (now - self._refilled) * RATE) - size
        self._refilled = now
        if self._credit < 0:
            self._loop.remove_reader(self._pipe)
            self._timer = self._loop.call_later(CHUNK / RATE, self._resume)

    def _resume(self) -> None:
        self._timer = None
        if self.open:
            self._loop.add_reader(self._pipe, self._read)


def _waiting_in(pipe: int) -> int:
    """Return how many bytes can be read from a pipe now."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
