"""Where tests end the nucleus by SIGKILL: at every point at which it writes.

Unarmed, which is always so outside the tests, a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

_remaining = 0


def arm(point: int) -> None:
    """Kill this process at the so manieth write point from now on, counted from 1."""
    global _remaining
    _remaining = point


def write_point() -> None:
    """Note that something on disk is about to change, or has changed."""
    global _remaining
    if _remaining:
        _remaining -= 1
        if not _remaining:
            os.kill(os.getpid(), signal.SIGKILL)
