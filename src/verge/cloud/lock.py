"""One process a state directory; the lock says which."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from verge.cloud import errors


@contextlib.contextmanager
def hold(state: Path) -> Iterator[None]:
    """Own the state directory until the end of the block. Raises StateError.

    The kernel drops the lock with the process, so one that was killed leaves nothing behind.
    """
    path = state / "lock"
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = path.open("a+")
    except OSError as error:
        raise errors.StateError(
            f"cannot write {path}: {error.strerror}; choose another directory with --state"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise errors.StateError(
                f"cannot use {state}: {_holder(path)}; stop that process or choose another "
                "directory with --state"
            ) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}))
        file.flush()
        yield


def _holder(path: Path) -> str:
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError):
        return "another process holds its lock"
    return f"process {held.get('pid')} holds its lock since {held.get('since')}"
