"""Short answers in a process with many threads and many objects that stay.

Two habits of the interpreter make requests wait in a cloud with thousands of devices. The garbage
collector looks at everything that ever was made, with all threads stopped: 0.8 s at 2,000 devices.
And a thread that computes keeps the others out for 5 ms, each time one of them comes back from the
database or a socket, of which a request has many.
"""

from __future__ import annotations

import gc
import sys
import threading
import time

from verge.cloud import precedence

SWITCH_INTERVAL = 0.0005
"""Seconds that a thread computes while others wait for their turn."""
LOOK = 0.02
"""Seconds after which what is new is looked at: many short looks take no longer than few long ones,
and an answer waits for one of them at most."""
IDLE_SHARE = 0.05
"""Of a core, used since the last look: less makes nothing that is worth one."""
GROWTH = 10
"""What was set aside is looked at again once the process holds so many times as much,"""
QUIET_GROWTH = 1.5
"""or so many times where nobody waits."""
QUIET = 5.0
"""Seconds in which hardly anything was done: nobody waits now."""
QUIET_SHARE = 0.02
"""Of a core, at most, in that time."""


def keep_short() -> None:
    """Set what is there aside from the collector, and let threads take turns sooner."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()
    # By itself it begins in whatever thread there is, and late: it counts what was made less what
    # ended, old objects too, so the youngest generation grows to ten thousand and more meanwhile.
    gc.disable()
    threading.Thread(target=_Collector().run, name="collector", daemon=True).start()


class _Collector:
    """Makes all collections, and sets aside what survived them, so that each looks at little.

    Cycles that end after that are found when all of it is looked at again: seldom, and more seldom
    the more there is, so memory cannot grow for ever. Blocks of memory stand for what was set
    aside, because the interpreter counts those without a walk over all objects.
    """

    def __init__(self) -> None:
        self._seen = sys.getallocatedblocks()
        self._asked = time.monotonic()
        self._used = time.process_time()
        self._looked = self._used

    def run(self) -> None:
        """Look at what is new, again and again, and at everything when it is time for that."""
        while True:
            time.sleep(LOOK)
            precedence.ANSWERS.give_way()
            whole = self._is_time_for_all()
            if whole:
                gc.unfreeze()
            if whole or time.process_time() - self._looked > IDLE_SHARE * LOOK:
                gc.collect()
                gc.freeze()
                self._looked = time.process_time()
            if whole:
                self._seen = sys.getallocatedblocks()

    def _is_time_for_all(self) -> bool:
        now, used = time.monotonic(), time.process_time()
        if now - self._asked < QUIET:
            return False
        share = (used - self._used) / (now - self._asked)
        self._asked, self._used = now, used
        growth = QUIET_GROWTH if share < QUIET_SHARE else GROWTH
        return sys.getallocatedblocks() > growth * self._seen
