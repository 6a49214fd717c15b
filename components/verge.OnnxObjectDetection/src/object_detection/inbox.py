"""What waits for the detector, in order; safe to fill from any thread, and bounded."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass
from typing import Any

from object_detection import messages

LIMIT = 512
"""Events that may wait; at 200 bytes each they cost next to nothing."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Changed:
    """The configuration changed."""


@dataclass(frozen=True)
class Stop:
    """Leave, with this exit code, for this reason."""

    code: int
    reason: str


Item = messages.FileEvent | Changed | Stop


class Inbox:
    """A queue that drops what its sender will deliver again."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._changed = False
        self.stop: Stop | None = None

    def put_document(self, document: Any) -> None:
        """Take a file event, unless its id is waiting already or there is no room."""
        try:
            event = messages.read_event(document)
        except messages.EventError as error:
            _log.warning("Message ignored reason=%s", error)
            return
        with self._lock:
            if event.id in self._waiting:
                return
            if len(self._waiting) >= self._limit:
                _log.warning("Event dropped, it will be delivered again id=%s", event.id)
                return
            self._waiting.add(event.id)
        self._queue.put(event)

    def put_change(self) -> None:
        """Note that the configuration changed; several notes make one."""
        with self._lock:
            if self._changed:
                return
            self._changed = True
        self._queue.put(Changed())

    def put_stop(self, code: int, reason: str) -> None:
        """Ask the service to leave before the next event."""
        self.stop = self.stop or Stop(code, reason)
        self._queue.put(self.stop)

    def take(self, seconds: float | None = None) -> Item | None:
        """Return what comes next; None after that many seconds. A stop comes first."""
        try:
            item = self._queue.get(timeout=seconds)
        except queue.Empty:
            return self.stop
        if self.stop:
            return self.stop
        if isinstance(item, Changed):
            with self._lock:
                self._changed = False
        return item

    def done(self, event: messages.FileEvent) -> None:
        """Note that an event was answered, so its id may come again."""
        with self._lock:
            self._waiting.discard(event.id)
