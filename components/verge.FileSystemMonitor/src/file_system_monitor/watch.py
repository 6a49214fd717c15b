"""Watch directories through inotify, for files that are complete.

What counts: a file that was open for writing was closed, a file was renamed into place, a
directory came or went, and a name was made for something that is never written under it (a link, a
pipe). The events are reported on the thread that reads them.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watchdog.observers import inotify_c

from file_system_monitor import states

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FLAGS = inotify_c.InotifyConstants
_MASK = (
    _FLAGS.IN_CLOSE_WRITE
    | _FLAGS.IN_CREATE
    | _FLAGS.IN_MOVED_TO
    | _FLAGS.IN_DELETE_SELF
    | _FLAGS.IN_MOVE_SELF
    | _FLAGS.IN_EXCL_UNLINK
    | _FLAGS.IN_ONLYDIR
)


@dataclass(frozen=True)
class Completed:
    """A file was closed after writing, or renamed into place."""

    path: str


@dataclass(frozen=True)
class Created:
    """A name was made: for a file that will be written, or for what may never be."""

    path: str


@dataclass(frozen=True)
class Appeared:
    """A directory was created below a watched one, or moved there."""

    path: str


@dataclass(frozen=True)
class Vanished:
    """A watched directory was removed or moved away."""

    path: str


@dataclass(frozen=True)
class Overflowed:
    """The kernel dropped events: only a look at the directories tells what happened."""


Event = Completed | Created | Appeared | Vanished | Overflowed


class Watcher:
    """Watches any number of directories; safe to call from one thread besides its own."""

    def __init__(self, report: Callable[[Event], None]) -> None:
        """Start reading. Raises OSError if the device gives no inotify instance."""
        self._report = report
        self._paths: dict[int, str] = {}
        self._lock = threading.Lock()
        self._inotify = inotify_c.InotifyFD()
        self._inotify.start()

    def close(self) -> None:
        """Stop watching and wait for the reading thread."""
        self._inotify.stop()
        self._inotify.join()

    def add(
        self,
        directory: Path | str,
        *,
        recursive: bool,
        leave_out: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Watch a directory. Raises OSError for it, not for those below it.

        `leave_out` takes the name of a directory below and says whether it is passed over.
        """
        self._add(os.fspath(directory))
        if recursive:
            for path in states.find_directories(directory, leave_out):
                try:
                    self._add(path)
                except OSError as error:
                    if error.errno == errno.ENOSPC:
                        raise

    def remove(self, directory: Path | str) -> None:
        """Watch a directory and those below it no longer."""
        top = os.fspath(directory)
        with self._lock:
            gone = [
                descriptor
                for descriptor, path in self._paths.items()
                if path == top or path.startswith(f"{top}/")
            ]
            self._forget(gone)

    def clear(self) -> None:
        """Watch nothing."""
        with self._lock:
            self._forget(list(self._paths))

    def on_event(self, event: inotify_c.InotifyEvent) -> None:
        """Take an event from watchdog."""
        with self._lock:
            directory = self._paths.get(event.wd)
        if directory is None:
            return
        path = os.path.join(directory, os.fsdecode(event.name))  # noqa: PTH118 - speed
        if event.is_delete_self or event.is_move_self:
            self._report(Vanished(directory))
        elif not event.is_directory:
            if event.is_close_write or event.is_moved_to:
                self._report(Completed(path))
            elif event.is_create and _is_never_written(path):
                self._report(Created(path))
        elif event.is_create or event.is_moved_to:
            self._report(Appeared(path))

    def on_watch_deleted(self, wd: int) -> None:
        """Take from watchdog that the kernel dropped a watch (removed or unmounted)."""
        with self._lock:
            path = self._paths.pop(wd, None)
        if path is not None:
            self._report(Vanished(path))

    def on_queue_overflow(self) -> None:
        """Take from watchdog that events were lost."""
        self._report(Overflowed())

    def _add(self, path: str) -> None:
        with self._lock:
            # Registering twice for one directory would warn, so the former goes first.
            self._forget([key for key, known in self._paths.items() if known == path])
            descriptor = self._inotify.add_callback(
                os.fsencode(path), inotify_c.Mask(_MASK), self, inotify_c.CallbackId(id(self))
            )
            if descriptor < 0:
                # watchdog keeps quiet about this one error.
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            self._paths[descriptor] = path

    def _forget(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            del self._paths[descriptor]
        mine = inotify_c.CallbackId(id(self))
        self._inotify.remove_callbacks(
            [(inotify_c.WatchDescriptor(descriptor), mine) for descriptor in descriptors]
        )


def _is_never_written(path: str) -> bool:
    """Whether a new name is no new file: closing one will say more, and so nothing is said now."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return not stat.S_ISREG(status.st_mode) or status.st_nlink > 1
