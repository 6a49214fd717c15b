"""A thread that does something at the times it is asked to, and whenever it is woken."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from verge.cloud import precedence

_CLOCK_CHECK = 60.0  # what is due is due by the wall clock, which may be set meanwhile
_RETRY = 5.0  # after an error, such as a full disk

_log = logging.getLogger(__name__)


class Worker:
    """Calls `work`, which returns the time of its next call or None, in a thread of its own."""

    def __init__(
        self, work: Callable[[], float | None], *, clock: Callable[[], float], name: str
    ) -> None:
        self._work = work
        self._clock = clock
        self._condition = threading.Condition()
        self._due: float | None = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin, with a first call at once."""
        self._thread.start()

    def stop(self) -> None:
        """End when the call that is going on has ended."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self, delay: float = 0.0) -> None:
        """Call again, after some seconds at the latest."""
        due = time.monotonic() + delay
        with self._condition:
            if self._due is None or due < self._due:
                self._due = due
                self._condition.notify()

    def _run(self) -> None:
        while self._wait():
            precedence.ANSWERS.give_way()
            try:
                following = self._work()
            except Exception:  # noqa: BLE001 - a full disk today must not end time for good
                _log.exception("Work failed thread=%s", self._thread.name)
                following = self._clock() + _RETRY
            if following is not None:
                self.wake(min(_CLOCK_CHECK, max(0.0, following - self._clock())))

    def _wait(self) -> bool:
        """Wait for the next call; False: there will be none."""
        with self._condition:
            while not self._stopped:
                now = time.monotonic()
                if self._due is not None and self._due <= now:
                    self._due = None
                    return True
                self._condition.wait(None if self._due is None else self._due - now)
            return False
