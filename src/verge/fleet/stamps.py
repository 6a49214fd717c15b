"""SHA-256 of files, computed again only when the file may have changed.

A file counts as unchanged while size, modification time, change time and inode are as they were.
A file that changed within the last moment before it was read may change again without any of these
moving, so what was learnt about it is not kept.
"""

from __future__ import annotations

import hashlib
import os
import time

Stamp = list[int | str]

# Coarse kernel clocks tick every 1 to 10 ms; two changes within one tick look like one.
SETTLED_AFTER_NS = 50_000_000


class Stamps:
    """The digests of files by path, as remembered from `known` and learnt since."""

    def __init__(self, known: dict[str, Stamp] | None = None) -> None:
        self._known = known or {}
        self._now = time.time_ns()
        self.current: dict[str, Stamp] = {}
        self.hashed = 0

    @property
    def dirty(self) -> bool:
        """Whether anything was learnt that was not known."""
        return self.hashed > 0

    def merged(self) -> dict[str, Stamp]:
        """Return all that is known, also of files not asked about this time."""
        return {**self._known, **self.current}

    def digest(self, path: str, status: os.stat_result) -> str:
        """Return the SHA-256 (hex) of the file at `path`, whose status is `status`."""
        marks: Stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        stamp = self._known.get(path)
        if stamp is None or stamp[:4] != marks:
            if self._now - max(status.st_mtime_ns, status.st_ctime_ns) < SETTLED_AFTER_NS:
                marks[0] = -1
            stamp = [*marks, hash_file(path)]
            self.hashed += 1
        self.current[path] = stamp
        return str(stamp[4])


def hash_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 (hex) of a file."""
    with open(path, "rb") as stream:  # noqa: PTH123 - half the time of Path.open for small files
        return hashlib.file_digest(stream, "sha256").hexdigest()
