"""What waits for a service's one thread of work, and the turn to work, which it can lend.

To wake a thread takes a tenth of a millisecond, and several tenths where the cores are busy. So who
brings something while the worker has nothing to do may work on it in the worker's place.
"""

from __future__ import annotations

import collections
import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """A queue whose reader works in turns; everything but `take` and `turn` is for any thread.

    Nothing here waits for a lock in `put`, so a signal's handler may call it.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._open: collections.deque[Item] = collections.deque()
        """What was put and is not worked on to its end."""
        self._in_hand = False
        self._turn = threading.Lock()

    def __len__(self) -> int:
        """Return how many items wait to be taken."""
        return self._queue.qsize()

    def put(self, item: Item) -> None:
        """Bring something for the worker."""
        self._open.append(item)
        self._queue.put(item)

    def wake(self) -> None:
        """End the worker's waiting, as if its time were over."""
        self._queue.put(None)

    def take(self, seconds: float | None = None) -> Item | None:
        """Return what comes next; None after that many seconds. A turn is to follow."""
        try:
            item = self._queue.get(timeout=None if seconds is None else max(0.0, seconds))
        except queue.Empty:
            return None
        self._in_hand = item is not None
        return item

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Have the turn: to work on what was taken, or do what is due."""
        with self._turn:
            try:
                yield
            finally:
                if self._in_hand:
                    self._in_hand = False
                    self._open.popleft()

    def at_once(self, work: Callable[[], bool]) -> bool:
        """Have the turn on this thread if the worker has nothing to do.

        Returns what the work does; False if the worker is busy, or has something to do.
        """
        if not self._turn.acquire(blocking=False):
            return False
        try:
            return not self._open and work()
        finally:
            self._turn.release()
