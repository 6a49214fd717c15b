"""The nucleus's database: one SQLite file, every commit on disk before it returns.

`synchronous=FULL` in WAL mode costs one fsync for each transaction and buys the promise that what
was acknowledged survives a kill and a power loss.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from verge.nucleus import errors, faults
from verge.nucleus.store import commits

FORMAT = 2

_SCHEMA = """
CREATE TABLE components (name TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE configuration (component TEXT PRIMARY KEY, tree BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (
    thing_group TEXT NOT NULL, component TEXT NOT NULL, version TEXT NOT NULL,
    PRIMARY KEY (thing_group, component)
) WITHOUT ROWID;
CREATE TABLE deployments (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    phase TEXT NOT NULL,
    document BLOB NOT NULL,
    snapshot BLOB,
    target BLOB
);
CREATE TABLE packages (
    component TEXT NOT NULL, version TEXT NOT NULL, content TEXT NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (component, version, content)
) WITHOUT ROWID;
"""

_UPGRADES = {1: "ALTER TABLE deployments ADD COLUMN target BLOB"}
"""What makes the next format of each older one."""


_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class DamagedError(errors.StoreError):
    """The content of the database is not what was written."""


def backup_of(file: Path) -> Path:
    """Return the file that the last good backup lies in."""
    return file.with_name(f"{file.name}.backup")


class Database:
    """One open database. All use is from one thread."""

    def __init__(self, file: Path) -> None:
        """Open the file, creating it if it is missing. Raises StoreError."""
        self.file = file
        self.commits = commits.Commits(self)
        """For writes that many ask for at the same time."""
        try:
            self._connection = sqlite3.connect(file, isolation_level=None, timeout=10)
            file.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._set_syncing("FULL")
            ((found,),) = self._connection.execute("PRAGMA quick_check(1)").fetchall()
            if found != "ok":
                raise DamagedError(f"cannot use {file}: {found}")
            self._migrate()
        except sqlite3.DatabaseError as error:
            kind = DamagedError if error.sqlite_errorcode in _DAMAGE else errors.StoreError
            raise kind(f"cannot open {file}: {error}") from error

    def _migrate(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            with self.transaction():
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={FORMAT}")
        elif version in _UPGRADES:
            with self.transaction():
                self._connection.execute(_UPGRADES[version])
                self._connection.execute(f"PRAGMA user_version={version + 1}")
            self._migrate()
        elif version != FORMAT:
            raise errors.StoreError(
                f"cannot use {self.file}: it has format {version}, this nucleus knows {FORMAT}; "
                "install the nucleus that wrote it"
            )

    @contextlib.contextmanager
    def transaction(self, *, synced: bool = True) -> Iterator[None]:
        """Do everything inside or nothing; on return it is on disk. May be nested.

        What is not `synced` outlasts the process but maybe not a power cut, unless a later one that
        is follows; it spares the milliseconds that the disk takes. Raises StoreError if that fails,
        as every method does.
        """
        if self._connection.in_transaction:
            yield
            return
        if not synced:
            with self._unsynced(), self.transaction():
                yield
            return
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            faults.write_point()
            with self._explained():
                self._connection.execute("COMMIT")
            faults.write_point()
        except BaseException:
            # A commit that failed for lack of space leaves the transaction open.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _unsynced(self) -> Iterator[None]:
        self._set_syncing("NORMAL")
        try:
            yield
        finally:
            self._set_syncing("FULL")

    def _set_syncing(self, mode: str) -> None:
        with self._explained():
            self._connection.execute(f"PRAGMA synchronous={mode}")

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """Within a transaction, do everything inside or nothing of it."""
        with self._explained():
            self._connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            # A disk that failed may have ended the whole transaction, and its parts with it.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO part")
                self._connection.execute("RELEASE part")
            raise
        with self._explained():
            self._connection.execute("RELEASE part")

    def execute(self, statement: str, *values: Any) -> int:
        """Run one statement; return how many rows it changed."""
        faults.write_point()
        with self._explained():
            return self._connection.execute(statement, values).rowcount

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for every row."""
        with self._explained():
            self._connection.executemany(statement, rows)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self._explained():
            return self._connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise errors.StoreError(f"cannot use {self.file}: {error}") from error

    def back_up(self) -> None:
        """Keep a copy of everything, in place of the former one. Raises StoreError."""
        kept = backup_of(self.file)
        fresh = kept.with_name(f"{kept.name}.new")
        try:
            fresh.unlink(missing_ok=True)
            with contextlib.closing(sqlite3.connect(fresh)) as copy:
                self._connection.backup(copy)
            fresh.chmod(0o600)
            descriptor = os.open(fresh, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            faults.write_point()
            fresh.replace(kept)
            faults.write_point()
        except (sqlite3.Error, OSError) as error:
            raise errors.StoreError(f"cannot back up {self.file}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
