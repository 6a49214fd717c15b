"""The configured directories: watched or polled, or missing and waited for."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from file_system_monitor import filesystems

if TYPE_CHECKING:
    from pathlib import Path

    from file_system_monitor.poll import Poller
    from file_system_monitor.settings import Settings
    from file_system_monitor.watch import Watcher

WHEN_MISSING = 1.0
"""Seconds between looks for a directory that is not there."""
WHEN_WATCHED = 5.0
"""Seconds between checks that a path still leads to the directory that is watched."""

_log = logging.getLogger(__name__)


class Directories:
    """Keeps every configured directory watched or polled as long as it exists."""

    def __init__(self, watcher: Watcher, poller: Poller) -> None:
        self._watcher = watcher
        self._poller = poller
        self._settings: Settings | None = None
        self._watched: dict[Path, tuple[int, int]] = {}
        self._polled: set[Path] = set()
        self._said: dict[Path, str] = {}

    def configure(self, wanted: Settings) -> None:
        """Watch these directories instead of the former ones, from the next `check` on."""
        self.reset()
        self._settings = wanted
        self._said.clear()

    def reset(self) -> None:
        """Watch everything anew from the next `check` on."""
        self._watcher.clear()
        self._poller.clear()
        self._watched.clear()
        self._polled.clear()

    def check(self) -> list[Path]:
        """Watch what can be watched; return the directories that are watched anew.

        A directory that is polled is never touched here: its server may not answer.
        """
        fresh = []
        for path in self._settings.directories if self._settings else ():
            if self._is_polled(path):
                continue
            identity = _identify(path)
            if identity is not None and self._watched.get(path) == identity:
                continue
            if self._watched.pop(path, None):
                self._watcher.remove(path)
            if self._watch(path, identity):
                fresh.append(path)
        return fresh

    def watch_below(self, path: str) -> None:
        """Watch a directory that came below a watched one."""
        try:
            self._add(path)
        except OSError as error:
            _log.warning("Cannot watch directory=%s reason=%s", path, error)

    def vanished(self, path: str) -> None:
        """Note that a watched directory went away; the next `check` looks for it."""
        self._watcher.remove(path)
        for known in list(self._watched):
            if os.fspath(known) == path:
                del self._watched[known]

    def interval(self) -> float:
        """Return the seconds until the next check."""
        wanted = len(self._settings.directories) if self._settings else 0
        there = len(self._watched) + len(self._polled)
        return WHEN_WATCHED if there == wanted else WHEN_MISSING

    def _is_polled(self, path: Path) -> bool:
        """Poll a directory where that is the way; a mount that comes later changes the way."""
        assert self._settings  # noqa: S101 - `check` has looked
        method = self._settings.method
        polled = filesystems.needs_polling(path) if method == "auto" else method == "polling"
        if polled and path not in self._polled:
            if self._watched.pop(path, None):
                self._watcher.remove(path)
            self._poller.add(path, self._settings)
            self._polled.add(path)
        elif not polled and path in self._polled:
            self._poller.remove(path)
            self._polled.discard(path)
        return polled

    def _watch(self, path: Path, identity: tuple[int, int] | None) -> bool:
        try:
            if identity is None:
                path.stat()  # Raises what is wrong.
                raise NotADirectoryError
            self._add(path)
        except OSError as error:
            self._say(path, _reason(error))
            return False
        self._watched[path] = identity
        self._said.pop(path, None)
        _log.info("Watching directory=%s", path)
        return True

    def _add(self, path: Path | str) -> None:
        assert self._settings  # noqa: S101 - nothing is watched before
        wanted = self._settings
        self._watcher.add(path, recursive=wanted.recursive, leave_out=wanted.leaves_out)

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
