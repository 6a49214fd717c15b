"""Remember every file state until somebody answered for it, across restarts and crashes.

One SQLite file in write-ahead mode: a row is there before its file is first announced, and a
killed process loses nothing. A power cut may lose the last rows, which the next look at the
directories finds again under the same ids.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from file_system_monitor.states import FileState, look

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CAPACITY = 250_000
"""Rows kept, about 50 MB: the files that wait for an answer and those that still lie there."""

TIDY_EVERY = 100
"""Changes, at most 500 pages: SQLite brings the file up to date by itself, in the middle of the
change that makes it 1,000."""

_PENDING, _DELIVERED, _ACKNOWLEDGED = 0, 1, 2
_VERSION = 2
_SCHEMA = """
CREATE TABLE files (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL,
    inode INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    size INTEGER NOT NULL,
    state INTEGER NOT NULL,
    refusal TEXT
);
CREATE INDEX files_by_state ON files (state, sequence);
CREATE INDEX files_by_path ON files (path);
"""
_FROM_VERSION_1 = "ALTER TABLE files ADD COLUMN refusal TEXT;"


class LedgerError(Exception):
    """The ledger cannot be used; the text says why."""


class LedgerFullError(LedgerError):
    """No row can be added before `forget_gone` finds one that is not needed."""


@dataclass(frozen=True)
class Entry:
    """A file that still needs an answer."""

    sequence: int
    id: str
    file: FileState
    refusal: str | None = None
    """Why it is not announced but refused; a key of `states.REFUSALS`."""


class Ledger:
    """The files seen, each pending, delivered or acknowledged."""

    def __init__(self, path: Path, capacity: int = CAPACITY) -> None:
        """Open or create the ledger; one that is damaged is put aside. Raises LedgerError."""
        self._capacity = capacity
        try:
            self._database = _open(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise LedgerError(f"cannot open the ledger {path}: {error}") from error
            for suffix in ("", "-wal", "-shm"):
                part = path.with_name(path.name + suffix)
                if part.exists():
                    part.replace(part.with_name(f"{path.name}.damaged{suffix}"))
            self._database = _open(path)
        self._rows = self._count("")
        self._untidied = 0

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(self, identity: str, file: FileState, refusal: str | None = None) -> list[str] | None:
        """Note a file state; return None if it was known.

        Otherwise return the ids of older states of that path that were never delivered: they
        are gone from the disk, so they are forgotten. Raises LedgerError.
        """
        if self._rows >= self._capacity and self.path_of(identity) is None:
            raise LedgerFullError(f"the ledger holds {self._rows} files, the most it can")
        replaced = self._query(
            "SELECT id FROM files WHERE path = ? AND state = ?", (file.path, _PENDING)
        )
        added = self._change(
            "INSERT INTO files (id, path, inode, mtime_ns, size, state, refusal) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            (identity, file.path, file.inode, file.mtime_ns, file.size, _PENDING, refusal),
        )
        if not added:
            return None
        if replaced:
            self._change(
                "DELETE FROM files WHERE path = ? AND state = ? AND id <> ?",
                (file.path, _PENDING, identity),
            )
        self._rows += 1 - len(replaced)
        return [row[0] for row in replaced]

    def open_entries(self, after: int, limit: int) -> list[Entry]:
        """Return files without an answer whose sequence number is above `after`, in order."""
        rows = self._query(
            "SELECT sequence, id, path, inode, mtime_ns, size, refusal FROM files "
            "WHERE state < ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (_ACKNOWLEDGED, after, limit),
        )
        return [Entry(row[0], row[1], FileState(*row[2:6]), row[6]) for row in rows]

    def open_count(self) -> int:
        """Return how many files wait for an answer."""
        return self._count(f"WHERE state < {_ACKNOWLEDGED}")

    def mark_delivered(self, identity: str) -> bool:
        """Note that a file was announced; return whether for the first time. Raises LedgerError."""
        changed = self._change(
            "UPDATE files SET state = ? WHERE id = ? AND state = ?",
            (_DELIVERED, identity, _PENDING),
        )
        return changed > 0

    def acknowledge(self, identity: str) -> bool:
        """Note an answer; return whether it was the first for a known file. Raises LedgerError."""
        changed = self._change(
            "UPDATE files SET state = ? WHERE id = ? AND state < ?",
            (_ACKNOWLEDGED, identity, _ACKNOWLEDGED),
        )
        return changed > 0

    def tidy(self) -> None:
        """Bring the file up to date if much was written, which takes as long as the disk does.

        To be called where nobody waits. What fails here is tried again by SQLite itself.
        """
        if self._untidied < TIDY_EVERY:
            return
        self._untidied = 0
        with suppress(sqlite3.Error):
            self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def path_of(self, identity: str) -> str | None:
        """Return the path of a file that is known by this id. Raises LedgerError."""
        rows = self._query("SELECT path FROM files WHERE id = ?", (identity,))
        return str(rows[0][0]) if rows else None

    def forget_gone(self) -> int:
        """Forget answered files that are no longer on the disk; return how many.

        Those that still lie there stay, or the next look would announce them again.
        """
        rows = self._query(
            "SELECT id, path, inode, mtime_ns, size FROM files WHERE state = ?", (_ACKNOWLEDGED,)
        )
        gone = [(row[0],) for row in rows if not _lies_there(FileState(*row[1:]))]
        try:
            with self._database:
                self._database.execute("BEGIN")
                self._database.executemany("DELETE FROM files WHERE id = ?", gone)
        except sqlite3.Error as error:
            raise LedgerError(f"cannot write the ledger: {error}") from error
        self._rows -= len(gone)
        return len(gone)

    def _count(self, condition: str) -> int:
        # The condition is one of this module's own, never a value from outside.
        return int(self._query(f"SELECT count(*) FROM files {condition}", ())[0][0])  # noqa: S608

    def _query(self, statement: str, values: Sequence[Any]) -> list[Any]:
        try:
            with closing(self._database.execute(statement, values)) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise LedgerError(f"cannot read the ledger: {error}") from error

    def _change(self, statement: str, values: Sequence[Any]) -> int:
        try:
            with closing(self._database.execute(statement, values)) as cursor:
                self._untidied += 1
                return cursor.rowcount
        except sqlite3.Error as error:
            raise LedgerError(f"cannot write the ledger: {error}") from error


def _lies_there(file: FileState) -> bool:
    sighting = look(file.path)
    return sighting is not None and sighting.file == file


def _open(path: Path) -> sqlite3.Connection:
    # One thread at a time uses it, though not always the same.
    database = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    try:
        _prepare(database)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == 0:
        database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
    elif version == 1:
        database.executescript(f"BEGIN; {_FROM_VERSION_1} PRAGMA user_version = 2; COMMIT;")
    elif version != _VERSION:
        raise sqlite3.DatabaseError(f"the ledger has the unknown version {version}")
    database.execute("SELECT count(*) FROM files").fetchone()
