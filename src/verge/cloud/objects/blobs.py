"""Bytes on disk: files that are written once, read by many and removed when nobody reads them."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import secrets
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from verge.cloud.objects import checksums

BLOCK = 256 * 1024


class Source(Protocol):
    """A stream of bytes."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read some bytes; 0 at the end."""


class Segment(NamedTuple):
    """A whole blob; `size` in bytes."""

    blob: str
    size: int


class Blobs:
    """A directory of blobs.

    What `receive` returned is on the disk. Who names a blob in a row does so afterwards, so a
    crash leaves at most files without a name; `sweep` removes them at the next start.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._readers: collections.Counter[str] = collections.Counter()
        self._doomed: set[str] = set()
        directory.mkdir(parents=True, exist_ok=True)

    def receive(self, source: Source, digests: checksums.Digests) -> Segment:
        """Write a stream to a new blob with flat memory; nothing is left if the stream fails."""
        name, path = self._new()
        buffer = memoryview(bytearray(BLOCK))
        try:
            with path.open("xb") as file:
                while count := source.readinto(buffer):
                    digests.update(buffer[:count])
                    file.write(buffer[:count])
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Segment(name, digests.size)

    def link(self, segments: Iterable[Segment]) -> list[Segment]:
        """Return new names for the same bytes."""
        linked = []
        for segment in segments:
            name, path = self._new()
            path.hardlink_to(self._path(segment.blob))
            linked.append(Segment(name, segment.size))
        return linked

    def open(self, segments: Sequence[Segment]) -> io.BufferedReader:
        """Open blobs as one stream; they stay until it is closed."""
        with self._lock:
            self._readers.update(segment.blob for segment in segments)
        return io.BufferedReader(_Reader(self, segments), BLOCK)

    def file(self, segment: Segment) -> BinaryIO:
        """Open the file of one blob."""
        return self._path(segment.blob).open("rb", buffering=0)

    def release(self, segments: Iterable[Segment]) -> None:
        """Count readers down; remove what was discarded while they read."""
        with self._lock:
            for segment in segments:
                self._readers[segment.blob] -= 1
                if not self._readers[segment.blob]:
                    del self._readers[segment.blob]
                    if segment.blob in self._doomed:
                        self._doomed.discard(segment.blob)
                        self._path(segment.blob).unlink(missing_ok=True)

    def discard(self, names: Iterable[str]) -> None:
        """Remove blobs that no row names any more, each once its last reader is done."""
        with self._lock:
            for name in names:
                if self._readers[name]:
                    self._doomed.add(name)
                else:
                    del self._readers[name]
                    self._path(name).unlink(missing_ok=True)

    def sweep(self, known: set[str]) -> int:
        """Remove every file but the known ones, before anybody writes; return how many."""
        strays = [path for path in self._directory.glob("*/*") if path.name not in known]
        for path in strays:
            path.unlink()
        return len(strays)

    def _new(self) -> tuple[str, Path]:
        name = secrets.token_hex(16)
        path = self._path(name)
        path.parent.mkdir(exist_ok=True)
        return name, path

    def _path(self, name: str) -> Path:
        return self._directory / name[:2] / name


class _Reader(io.RawIOBase):
    """Segments one after the other; seekable."""

    def __init__(self, blobs: Blobs, segments: Sequence[Segment]) -> None:
        super().__init__()
        self._blobs = blobs
        self._segments = tuple(segments)
        self._size = sum(segment.size for segment in segments)
        self._position = 0
        self._current: tuple[int, BinaryIO] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        start = 0
        for number, segment in enumerate(self._segments):
            if self._position < start + segment.size:
                return self._read(number, self._position - start, segment, memoryview(buffer))
            start += segment.size
        return 0

    def _read(self, number: int, offset: int, segment: Segment, buffer: memoryview) -> int:
        if self._current is None or self._current[0] != number:
            self._close_current()
            self._current = (number, self._blobs.file(segment))
        file = self._current[1]
        count = os.preadv(file.fileno(), [buffer[: segment.size - offset]], offset)
        if not count:
            raise OSError(f"cannot read {segment.blob}: the file is shorter than it was")
        self._position += count
        return count

    def _close_current(self) -> None:
        if self._current is not None:
            self._current[1].close()
            self._current = None

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(OSError):
                self._close_current()
            self._blobs.release(self._segments)
        super().close()
