"""Short answers in a process with many threads and many objects that stay.

Two habits of the interpreter make requests wait in a cloud with thousands of devices. The garbage
collector looks at everything that ever was made, with all threads stopped: 0.8 s at 2,000 devices.
And a thread that computes keeps the others out for 5 ms, each time one of them comes back from the
database or a socket, of which a request has many.
"""

from __future__ import annotations

import gc
import sys

SWITCH_INTERVAL = 0.0005
"""Seconds that a thread computes while others wait for their turn."""
GROWTH = 4
"""What was set aside is looked at again once it has grown so many times."""

_OLDEST = 2


def keep_short() -> None:
    """Set what is there aside from the collector, and let threads take turns sooner."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()
    collector = _Collector()
    gc.callbacks.append(collector.note)


class _Collector:
    """Sets aside what survived a full collection, so that the next one need not look at it.

    Cycles that end after that are found when all of it is looked at again: seldom, and more seldom
    the more there is, so memory cannot grow for ever.
    """

    def __init__(self) -> None:
        self._seen = gc.get_freeze_count()

    def note(self, phase: str, info: dict[str, int]) -> None:
        """Take note of the end of a collection."""
        if phase != "stop" or info["generation"] != _OLDEST:
            return
        whole = gc.get_freeze_count() == 0
        gc.freeze()
        count = gc.get_freeze_count()
        if whole:
            self._seen = count
        elif count > GROWTH * self._seen:
            gc.unfreeze()
