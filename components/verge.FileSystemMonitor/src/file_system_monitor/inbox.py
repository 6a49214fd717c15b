"""What happened, in order; safe to fill from any thread, and bounded."""

from __future__ import annotations

import contextlib
import queue
import threading
from dataclasses import dataclass
from typing import Any

from file_system_monitor import poll, watch

LIMIT = 20_000
"""Events that may wait. What does not fit is found again by a look at the directories."""

_LONGEST_ID = 128


@dataclass(frozen=True)
class Answered:
    """A result or a rejection with this id was published."""

    id: str
    changed: bool = False
    """The answer is that another file lies there by now."""


@dataclass(frozen=True)
class Changed:
    """The configuration changed."""


@dataclass(frozen=True)
class Stop:
    """Leave, with this exit code, for this reason."""

    code: int
    reason: str


Item = watch.Event | poll.Settled | Answered | Changed | Stop


class Inbox:
    """A queue that drops what it can afford to lose."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._overflowed = False
        self._changed = False
        self._stop: Stop | None = None

    def put_event(self, event: watch.Event | poll.Settled) -> None:
        """Take a file system event; beyond the limit only the fact that some were lost."""
        if self._queue.qsize() >= self._limit:
            with self._lock:
                if self._overflowed:
                    return
                self._overflowed = True
            event = watch.Overflowed()
        self._queue.put(event)

    def put_document(self, document: Any) -> None:
        """Take an answer; a document without a usable id answers nothing."""
        identity = document.get("id") if isinstance(document, dict) else None
        if not isinstance(identity, str) or len(identity) > _LONGEST_ID:
            return
        # A lost answer is asked for again.
        if self._queue.qsize() < self._limit:
            self._queue.put(Answered(identity, document.get("code") == "changed"))

    def put_change(self) -> None:
        """Note that the configuration changed; several notes make one."""
        with self._lock:
            if self._changed:
                return
            self._changed = True
        self._queue.put(Changed())

    def put_stop(self, code: int, reason: str) -> None:
        """Ask the service to leave; the first reason counts."""
        self._stop = self._stop or Stop(code, reason)
        self._queue.put(self._stop)

    def take(self, seconds: float) -> Item | None:
        """Return what comes next; None after that many seconds. A stop comes first."""
        try:
            item = self._queue.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return self._stop
        if self._stop:
            self._queue.put(item)  # `take_answers` may want it.
            return self._stop
        with self._lock:
            if isinstance(item, Changed):
                self._changed = False
            elif isinstance(item, watch.Overflowed):
                self._overflowed = False
        return item

    def take_answers(self) -> list[Answered]:
        """Return the answers that are left when the service leaves."""
        left = []
        with contextlib.suppress(queue.Empty):
            while True:
                left.append(self._queue.get_nowait())
        return [item for item in left if isinstance(item, Answered)]
