"""What a file is at one moment, and the id that names it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from file_system_monitor.settings import Settings

SCHEMA = "verge.file/1"


@dataclass(frozen=True)
class FileState:
    """One file as it was when it was seen."""

    path: str
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


def read_state(path: str) -> FileState | None:
    """Return the state of a regular file; None if there is none of that name."""
    try:
        status = os.lstat(path)
        path.encode()
    except (OSError, UnicodeEncodeError):
        # A name that is not valid UTF-8 cannot travel in a JSON document.
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileState(path, status.st_ino, status.st_mtime_ns, status.st_size)


def find_files(directory: Path | str, settings: Settings) -> Iterator[FileState]:
    """Yield the wanted files of a directory, and of those below it if configured."""
    for name, path, is_directory in _entries(directory):
        if is_directory:
            if settings.recursive:
                yield from find_files(path, settings)
        elif settings.matches(name) and (state := read_state(path)):
            yield state


def find_directories(directory: Path | str) -> Iterator[str]:
    """Yield the directories below a directory, each before those within it."""
    for _, path, is_directory in _entries(directory):
        if is_directory:
            yield path
            yield from find_directories(path)


def _entries(directory: Path | str) -> list[tuple[str, str, bool]]:
    """Return name, path and kind of what a directory holds; nothing if it cannot be read."""
    try:
        with os.scandir(directory) as entries:
            found = [(e.name, e.path, e.is_dir(follow_symlinks=False)) for e in entries]
    except OSError:
        return []
    return sorted(found)
