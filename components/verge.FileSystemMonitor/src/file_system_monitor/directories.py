"""The configured directories: watched, or missing and waited for."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from file_system_monitor.watch import Watcher

WHEN_MISSING = 1.0
"""Seconds between looks for a directory that is not there."""
WHEN_WATCHED = 5.0
"""Seconds between checks that a path still leads to the directory that is watched."""

_log = logging.getLogger(__name__)


class Directories:
    """Keeps every configured directory watched as long as it exists."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._wanted: tuple[Path, ...] = ()
        self._recursive = False
        self._watched: dict[Path, tuple[int, int]] = {}
        self._said: dict[Path, str] = {}

    def configure(self, wanted: Sequence[Path], *, recursive: bool) -> None:
        """Watch these directories instead of the former ones, from the next `check` on."""
        self.reset()
        self._wanted = tuple(wanted)
        self._recursive = recursive
        self._said.clear()

    def reset(self) -> None:
        """Watch everything anew from the next `check` on."""
        self._watcher.clear()
        self._watched.clear()

    def check(self) -> list[Path]:
        """Watch what can be watched; return the directories that are watched anew."""
        fresh = []
        for path in self._wanted:
            identity = _identify(path)
            if identity is not None and self._watched.get(path) == identity:
                continue
            if self._watched.pop(path, None):
                self._watcher.remove(path)
            if self._watch(path, identity):
                fresh.append(path)
        return fresh

    def vanished(self, path: str) -> None:
        """Note that a watched directory went away; the next `check` looks for it."""
        self._watcher.remove(path)
        for known in list(self._watched):
            if os.fspath(known) == path:
                del self._watched[known]

    def interval(self) -> float:
        """Return the seconds until the next check."""
        return WHEN_WATCHED if len(self._watched) == len(self._wanted) else WHEN_MISSING

    def _watch(self, path: Path, identity: tuple[int, int] | None) -> bool:
        try:
            if identity is None:
                path.stat()  # Raises what is wrong.
                raise NotADirectoryError
            self._watcher.add(path, recursive=self._recursive)
        except OSError as error:
            self._say(path, _reason(error))
            return False
        self._watched[path] = identity
        self._said.pop(path, None)
        _log.info("Watching directory=%s", path)
        return True

    def _say(self, path: Path, reason: str) -> None:
        """Log a reason once, not at every look."""
        if self._said.get(path) != reason:
            self._said[path] = reason
            _log.warning("Waiting for directory=%s reason=%s", path, reason)


def _identify(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if path.is_dir() else None


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    if isinstance(error, NotADirectoryError):
        return "it is not a directory"
    return error.strerror or type(error).__name__
