"""What waits for the detector, in order; safe to fill from any thread, and bounded."""

from __future__ import annotations

import functools
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_ipc import mailbox

from object_detection import messages

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

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
        self._mailbox: mailbox.Mailbox[Item] = mailbox.Mailbox()
        self._work: Callable[[messages.FileEvent], bool] | None = None
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._changed = False
        self.stop: Stop | None = None

    def lend(self, work: Callable[[messages.FileEvent], bool]) -> None:
        """Offer a file event that comes while nothing else waits to `work`, which may refuse it.

        It is called on the thread that brings the event.
        """
        self._work = work

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
        if not self._mailbox.at_once(functools.partial(self._work_on, event)):
            self._mailbox.put(event)

    def put_change(self) -> None:
        """Note that the configuration changed; several notes make one."""
        with self._lock:
            if self._changed:
                return
            self._changed = True
        self._mailbox.put(Changed())

    def put_stop(self, code: int, reason: str) -> None:
        """Ask the service to leave before the next event."""
        self.stop = self.stop or Stop(code, reason)
        self._mailbox.put(self.stop)

    def turn(self) -> AbstractContextManager[None]:
        """Have the turn to work on what was taken, and on what is due."""
        return self._mailbox.turn()

    def take(self, seconds: float | None = None) -> Item | None:
        """Return what comes next; None after that many seconds. A stop comes first."""
        item = self._mailbox.take(seconds)
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

    def _work_on(self, event: messages.FileEvent) -> bool:
        return self._work is not None and self.stop is None and self._work(event)
