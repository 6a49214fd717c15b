"""Waits for changes of directories without looking again and again (Linux inotify)."""

from __future__ import annotations

import ctypes
import os
import select
from pathlib import Path

from verge.nucleus import errors

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
_EVENTS = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_MODIFY = 0x2
_ONLY_DIRECTORIES = 0x01000000
_BUFFER = 65536

_UNWATCHED = frozenset({"__pycache__", "greengrass-build", "zip-build"})
"""Directories that tools write into, below a component's own."""


class WatchError(errors.NucleusError):
    """A directory cannot be watched."""


class Watcher:
    """Tells that something below directories was written, made, moved or removed."""

    def __init__(self, *, modifications: bool = False) -> None:
        """Start without a directory; `modifications` tells of every single write, too."""
        self._library = ctypes.CDLL(None, use_errno=True)
        self._mask = _EVENTS | _ONLY_DIRECTORIES | (_MODIFY if modifications else 0)
        self._descriptor = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise WatchError(f"cannot watch files: {os.strerror(ctypes.get_errno())}")

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when something changes."""
        return int(self._descriptor)

    def watch(self, directory: Path) -> None:
        """Watch a directory and all below it; watching one again is no error."""
        seen: set[str] = set()
        for path, directories, _ in os.walk(directory, followlinks=True):
            real = os.path.realpath(path)
            if real in seen:
                directories.clear()  # a link that leads back up
                continue
            seen.add(real)
            directories[:] = [d for d in directories if d not in _UNWATCHED and d[0] != "."]
            if self._library.inotify_add_watch(self.fileno(), os.fsencode(path), self._mask) < 0:
                reason = os.strerror(ctypes.get_errno())
                raise WatchError(
                    f"cannot watch {path}: {reason}; see sysctl fs.inotify.max_user_watches"
                )

    def drain(self) -> bool:
        """Take all events there are; return whether there were any."""
        seen = False
        while True:
            try:
                seen = bool(os.read(self.fileno(), _BUFFER)) or seen
            except BlockingIOError:
                return seen

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a change and take it; return False after the timeout in seconds."""
        ready, _, _ = select.select([self], [], [], timeout)
        return bool(ready) and self.drain()

    def close(self) -> None:
        """Watch nothing more."""
        os.close(self.fileno())
