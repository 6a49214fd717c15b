"""Processes that outlive the command that started them, found again by number and start time."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

STOP_SECONDS = 20.0
_PAUSE = 0.05


def stop(record: dict[str, Any]) -> bool:
    """End the process of a record, gently first; return whether it ran."""
    if not is_alive(record):
        return False
    kill(record["pid"], signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while is_alive(record):
        if time.monotonic() > deadline:
            kill(record["pid"], signal.SIGKILL)
            deadline += STOP_SECONDS
        time.sleep(_PAUSE)
    return True


def kill(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def is_alive(record: dict[str, Any]) -> bool:
    """Whether the process of a record (`pid`, `started`) runs, and not one that got its number."""
    pid = record.get("pid")
    began = start_time(pid) if isinstance(pid, int) else None
    return began is not None and began == record.get("started")


def start_time(pid: int) -> str | None:
    """Return when a process started, in ticks since the boot; None if it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
