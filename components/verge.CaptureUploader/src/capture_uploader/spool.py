"""What waits for S3, durably and within a limit.

A capture is a picture and its result, two files named after its number, and a row. The files are
synced before the row is there, so a row always has whole files; what lies there without a row is
left of a take that was cut off, and is removed. Rows of captures that are done stay for a while:
they say which ids were looked at.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from capture_uploader.choice import Result

REMEMBERED = 100_000
"""Ids of results that were looked at; far more than the detector keeps."""

_PASSED, _WAITING, _DONE, _DROPPED = 0, 1, 2, 3
_SCHEMA = """
CREATE TABLE IF NOT EXISTS captures (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state INTEGER NOT NULL,
    device TEXT NOT NULL,
    time TEXT NOT NULL,
    suffix TEXT NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS captures_by_state ON captures (state, number);
"""
_CHUNK = 1 << 20
_SUFFIX = re.compile(r"(?i)\.(?!json$)[a-z0-9]{1,8}")
"""Of a picture; its result beside it has the other one."""


class SpoolError(Exception):
    """The spool cannot be used; the text says why."""


class FullError(SpoolError):
    """A capture does not fit."""


class PictureGoneError(SpoolError):
    """The picture of a result is no longer what was looked at."""


@dataclass(frozen=True)
class Capture:
    """What is to be uploaded."""

    number: int
    id: str
    device: str
    time: str
    picture: Path
    document: Path


class Spool:
    """The captures of this device; used by several threads."""

    def __init__(self, folder: Path) -> None:
        """Open or make the spool. Raises SpoolError or OSError."""
        self._folder = folder / "spool"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._arrived = threading.Condition(self._lock)
        self._woken = False
        try:
            self._database = sqlite3.connect(
                folder / "captures.sqlite3", isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
            self._remove_leftovers()
        except sqlite3.Error as error:
            raise SpoolError(f"cannot open the spool in {folder}: {error}") from error

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def knows(self, identity: str) -> bool:
        """Whether a result was looked at before."""
        return bool(self._query("SELECT 1 FROM captures WHERE id = ?", (identity,)))

    def pass_over(self, result: Result) -> None:
        """Remember that a result's picture is not wanted, or cannot be had.

        After a power cut it may be looked at again, so the disk is not asked to sync.
        """
        self._insert(result, _PASSED, "", 0)

    def take(self, result: Result, most_bytes: int, *, drop_oldest: bool) -> list[str]:
        """Copy picture and result into the spool; return the ids that had to go for it.

        Raises PictureGoneError, FullError if it does not fit, and SpoolError.
        """
        document = json.dumps(result.document, ensure_ascii=False, indent=1).encode()
        source = Path(result.picture)
        try:
            size = source.stat().st_size + len(document)
        except OSError as error:
            raise PictureGoneError(f"{result.picture}: {error.strerror}") from error
        suffix = source.suffix.lower() if _SUFFIX.fullmatch(source.suffix) else ".bin"
        try:
            dropped = self._make_room(result, size, most_bytes, drop_oldest=drop_oldest)
            self._store(result, source, suffix, document)
        except BaseException as error:
            self._remove_files(result.id)
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise FullError(f"the disk is full: {error.strerror}") from error
            if isinstance(error, OSError):
                raise SpoolError(f"cannot keep {result.picture}: {error.strerror}") from error
            raise
        self._insert(result, _WAITING, suffix, size)
        return dropped

    def oldest(self) -> Capture | None:
        """Return what is to be uploaded next; None if nothing waits."""
        rows = self._query(
            "SELECT number, id, device, time, suffix FROM captures WHERE state = ? "
            "ORDER BY number LIMIT 1",
            (_WAITING,),
        )
        if not rows:
            return None
        number, identity, device, time, suffix = rows[0]
        return Capture(
            *(number, identity, device, time),
            picture=self._folder / f"{identity}{suffix}",
            document=self._folder / f"{identity}.json",
        )

    def wait_for_capture(self) -> None:
        """Return when something waits, or `wake` was called. Raises SpoolError."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._woken or self.oldest() is not None)
            self._woken = False

    def wait(self, seconds: float) -> None:
        """Return when `wake` was called, or the time is over, whatever is taken meanwhile."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._woken, seconds)
            self._woken = False

    def wake(self) -> None:
        """End a wait, also one that is only about to begin."""
        with self._arrived:
            self._woken = True
            self._arrived.notify_all()

    def finish(self, capture: Capture, *, lost: bool = False) -> None:
        """Note that a capture is uploaded, or that its files are lost, and remove its files."""
        self._change(
            "UPDATE captures SET state = ? WHERE number = ?",
            (_DROPPED if lost else _DONE, capture.number),
        )
        self._remove_files(capture.id)

    def waiting(self) -> tuple[int, int]:
        """Return how many captures wait, and their bytes."""
        [(count, size)] = self._query(
            "SELECT count(*), coalesce(sum(size), 0) FROM captures WHERE state = ?", (_WAITING,)
        )
        return count, size

    def _store(self, result: Result, source: Path, suffix: str, document: bytes) -> None:
        _check(result, _copy(source, self._folder / f"{result.id}{suffix}"))
        _write(self._folder / f"{result.id}.json", document)
        _sync(self._folder)

    def _make_room(
        self, result: Result, size: int, most_bytes: int, *, drop_oldest: bool
    ) -> list[str]:
        if size > most_bytes:
            raise FullError(f"{size} bytes are more than the {most_bytes} of `maxSpoolBytes`")
        if self.waiting()[1] + size > most_bytes and drop_oldest:
            # None goes for a picture that cannot be had.
            _check(result, _digest(Path(result.picture)))
        dropped = []
        while self.waiting()[1] + size > most_bytes:
            oldest = self.oldest()
            if not drop_oldest or oldest is None:
                raise FullError(f"the spool holds its {most_bytes} bytes of `maxSpoolBytes`")
            self.finish(oldest, lost=True)
            dropped.append(oldest.id)
        return dropped

    def _insert(self, result: Result, state: int, suffix: str, size: int) -> None:
        with self._transaction(synced=state == _WAITING):
            self._database.execute(
                "INSERT OR IGNORE INTO captures (id, state, device, time, suffix, size) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (result.id, state, result.device, result.time, suffix, size),
            )
            self._database.execute(
                "DELETE FROM captures WHERE state != ? AND number <= "
                "(SELECT max(number) FROM captures) - ?",
                (_WAITING, REMEMBERED),
            )
        if state == _WAITING:
            with self._arrived:
                self._arrived.notify_all()

    def _remove_leftovers(self) -> None:
        kept = {row[0] for row in self._query("SELECT id FROM captures WHERE state = 1", ())}
        for path in self._folder.iterdir():
            if path.stem not in kept:
                path.unlink()

    def _remove_files(self, identity: str) -> None:
        for path in self._folder.glob(f"{identity}.*"):
            if path.stem == identity:
                path.unlink(missing_ok=True)

    def _query(self, statement: str, values: Sequence[Any]) -> list[Any]:
        with self._failing("read"):
            return self._database.execute(statement, values).fetchall()

    def _change(self, statement: str, values: Sequence[Any]) -> None:
        with self._failing("write"):
            self._database.execute(statement, values)

    @contextlib.contextmanager
    def _transaction(self, *, synced: bool) -> Iterator[None]:
        """Do everything inside or nothing; what is not `synced` may be lost in a power cut."""
        with self._failing("write"):
            if not synced:
                self._database.execute("PRAGMA synchronous = NORMAL")
            try:
                with self._database:
                    self._database.execute("BEGIN IMMEDIATE")
                    yield
            finally:
                if not synced:
                    self._database.execute("PRAGMA synchronous = FULL")

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise SpoolError(f"cannot {what} the spool: {error}") from error


def _check(result: Result, sha256: str) -> None:
    if sha256 != result.sha256:
        raise PictureGoneError(f"{result.picture}: it holds another picture by now")


def _copy(source: Path, target: Path) -> str:
    """Copy a regular file durably; return its SHA-256 in hexadecimal digits."""
    with target.open("wb") as file:
        digest = _digest(source, file.write)
        file.flush()
        os.fsync(file.fileno())
    return digest


def _digest(source: Path, take: Callable[[bytes], object] = lambda _: None) -> str:
    """Return the SHA-256 of a regular file in hexadecimal digits; `take` is handed what is read."""
    digest = hashlib.sha256()
    descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not os.path.isfile(f"/proc/self/fd/{descriptor}"):  # noqa: PTH113 - a descriptor
            raise PictureGoneError(f"{source}: it is no regular file")
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            take(chunk)
    return digest.hexdigest()


def _write(target: Path, data: bytes) -> None:
    with target.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
