"""What a file is at one moment, and the id that names it."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from file_system_monitor.settings import Settings

SCHEMA = "verge.file/1"

_FARTHEST = 2**63 - 1
"""What a ledger can hold. File systems have larger inodes, and times after the year 2262."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


REFUSALS = {
    "bad_name": "its name holds control characters or is not valid UTF-8; rename it",
    "not_a_file": "a directory, a link, a pipe or the like stands where a file is wanted",
    "too_large": "it is larger than `maxBytes` allows",
}
"""Why the monitor refuses something itself, by the code of the rejection."""


@dataclass(frozen=True)
class FileState:
    """One file as it was when it was seen."""

    path: str
    """As it travels in documents: bytes that are no UTF-8 are written as `\\xff`."""
    inode: int
    mtime_ns: int
    size: int

    def identity(self, device: str) -> str:
        """Return the id: the same for the same state, so even a lost ledger repeats no work."""
        facts = f"{device}\0{self.path}\0{self.inode}\0{self.mtime_ns}\0{self.size}"
        return hashlib.sha256(facts.encode()).hexdigest()[:32]

    def document(self, device: str) -> dict[str, Any]:
        """Return the message about this file."""
        return {
            "schema": SCHEMA,
            "id": self.identity(device),
            "device": device,
            "path": self.path,
            "size": self.size,
            "modified": self.mtime_ns / 10**9,
        }


@dataclass(frozen=True)
class Sighting:
    """What stands under a wanted name: a file, or something to refuse."""

    place: str
    """The path for system calls."""
    file: FileState
    refusal: str | None = None
    """A key of `REFUSALS`."""


def look(path: str, largest: int | None = None) -> Sighting | None:
    """Return what stands under a name; None if nothing does. `largest` is in bytes.

    Nothing is opened, so a pipe or a device cannot hold up the monitor.
    """
    try:
        status = os.lstat(path)
    except OSError:
        return None
    shown, name = os.fsencode(path).decode(errors="backslashreplace"), path.rpartition("/")[2]
    inode = status.st_ino if status.st_ino <= _FARTHEST else status.st_ino - 2**64
    if not stat.S_ISREG(status.st_mode):
        # Only a file's time and size say that its content is another.
        return Sighting(path, FileState(shown, inode, 0, 0), "not_a_file")
    file = FileState(
        shown, inode, max(-_FARTHEST, min(status.st_mtime_ns, _FARTHEST)), status.st_size
    )
    refusal = None
    if shown != path or _CONTROL.search(name):
        refusal = "bad_name"
    elif largest is not None and status.st_size > largest:
        refusal = "too_large"
    return Sighting(path, file, refusal)


def find(directory: Path | str, settings: Settings) -> Iterator[Sighting]:
    """Yield what stands under wanted names in a directory, and below it if configured."""
    left = [os.fspath(directory)]
    while left:
        below = []
        for name, path, is_directory in _entries(left.pop()):
            if settings.matches(name) and (sighting := look(path, settings.largest)):
                yield sighting
            if is_directory and settings.recursive and not settings.leaves_out(name):
                below.append(path)
        left += reversed(below)


def find_directories(
    directory: Path | str, leave_out: Callable[[str], bool] = lambda _: False
) -> Iterator[str]:
    """Yield the directories below a directory, each before those within it."""
    left = [os.fspath(directory)]
    while left:
        for name, path, is_directory in _entries(left.pop()):
            if is_directory and not leave_out(name):
                yield path
                left.append(path)


def _entries(directory: str) -> list[tuple[str, str, bool]]:
    """Return name, path and kind of what a directory holds; nothing if it cannot be read."""
    try:
        with os.scandir(directory) as entries:
            found = [(e.name, e.path, e.is_dir(follow_symlinks=False)) for e in entries]
    except OSError:
        return []
    return sorted(found)
