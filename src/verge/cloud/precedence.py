"""Answers to people come before the work for devices, which nobody waits for at a terminal.

Python runs one thread at a time. While thousands of devices report, each thread that works for them
takes its turn, and a request of the API, which needs a few milliseconds, gets every third or sixth.
So those threads step aside between two messages while such a request is being answered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 0.05
"""Seconds from its beginning in which a request is let pass; uploads take longer than that."""
WAIT = 0.02
"""Seconds that a thread waits at most before it works for as long itself, so that requests without
end cannot keep devices waiting for ever."""


class Precedence:
    """Who goes first in this process; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._until = 0.0
        self._nobody = threading.Event()
        self._nobody.set()
        self._own = threading.local()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Go first in this block, or in its first LONGEST seconds."""
        with self._lock:
            self._holders += 1
            self._until = time.monotonic() + LONGEST
            self._nobody.clear()
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._nobody.set()

    def give_way(self) -> None:
        """Wait while somebody else goes first, at most WAIT seconds and then not for as long."""
        if self._nobody.is_set():
            return
        now = time.monotonic()
        left = min(self._until - now, WAIT)
        if left > 0 and now >= getattr(self._own, "next", now) and not self._nobody.wait(left):
            self._own.next = time.monotonic() + WAIT


ANSWERS = Precedence()
"""That of this process: there is one interpreter to take turns in."""
