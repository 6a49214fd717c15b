"""Long messages must not leave the process large."""

from __future__ import annotations

import contextlib
import functools

LONG = 1024 * 1024
"""Bytes from which on a message counts as long."""

_M_MMAP_THRESHOLD = -3  # <malloc.h>


@functools.cache
def return_long_blocks() -> None:
    """Let the C library give blocks of long messages back to the system when they are freed.

    After the first such block glibc keeps blocks of up to 32 MiB for later use otherwise, so that
    one message of 24 MiB costs 50 MiB for ever. Other C libraries lack the call and the habit.
    """
    import ctypes  # only now: it costs a megabyte, and most devices never see a long message

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LONG)
