"""What happened, in order; safe to fill from any thread, and bounded."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_ipc import mailbox

from file_system_monitor import poll, watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

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
        self._mailbox: mailbox.Mailbox[Item] = mailbox.Mailbox()
        self._work: Callable[[watch.Completed], None] | None = None
        self._lock = threading.Lock()
        self._overflowed = False
        self._changed = False
        self._stop: Stop | None = None

    def lend(self, work: Callable[[watch.Completed], None]) -> None:
        """Have who brings a complete file work on it, while nothing else waits or is worked on."""
        self._work = work

    def put_event(self, event: watch.Event | poll.Settled) -> None:
        """Take a file system event; beyond the limit only the fact that some were lost."""
        if isinstance(event, watch.Completed) and self._mailbox.at_once(
            functools.partial(self._work_on, event)
        ):
            return
        if len(self._mailbox) >= self._limit:
            with self._lock:
                if self._overflowed:
                    return
                self._overflowed = True
            event = watch.Overflowed()
        self._mailbox.put(event)

    def put_document(self, document: Any) -> None:
        """Take an answer; a document without a usable id answers nothing."""
        identity = document.get("id") if isinstance(document, dict) else None
        if not isinstance(identity, str) or len(identity) > _LONGEST_ID:
            return
        # A lost answer is asked for again.
        if len(self._mailbox) < self._limit:
            self._mailbox.put(Answered(identity, document.get("code") == "changed"))

    def put_change(self) -> None:
        """Note that the configuration changed; several notes make one."""
        with self._lock:
            if self._changed:
                return
            self._changed = True
        self._mailbox.put(Changed())

    def put_stop(self, code: int, reason: str) -> None:
        """Ask the service to leave; the first reason counts."""
        self._stop = self._stop or Stop(code, reason)
        self._mailbox.put(self._stop)

    def wake(self) -> None:
        """Have `take` return, because something is due sooner than it was told."""
        self._mailbox.wake()

    def turn(self) -> AbstractContextManager[None]:
        """Have the turn to work on what was taken, and on what is due."""
        return self._mailbox.turn()

    def take(self, seconds: float) -> Item | None:
        """Return what comes next; None after that many seconds. A stop comes first."""
        item = self._mailbox.take(seconds)
        if self._stop:
            if item is not None:
                self._mailbox.put(item)  # `take_answers` may want it.
            return self._stop
        with self._lock:
            if isinstance(item, Changed):
                self._changed = False
            elif isinstance(item, watch.Overflowed):
                self._overflowed = False
        return item

    def take_answers(self) -> list[Answered]:
        """Return the answers that are left when the service leaves."""
        left = [self._mailbox.take(0) for _ in range(len(self._mailbox))]
        return [item for item in left if isinstance(item, Answered)]

    def _work_on(self, event: watch.Completed) -> bool:
        if self._work is None or self._stop:
            return False
        self._work(event)
        return True
