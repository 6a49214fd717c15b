"""The local cloud's SQLite file: one connection, short transactions, safe against SIGKILL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from verge.cloud import errors

Row = sqlite3.Row


class Database:
    """Shared by all parts and all threads.

    Each part brings its own tables as `CREATE TABLE IF NOT EXISTS` statements, prefixed with the
    part's name. What `transaction` committed survives the death of this process.
    """

    def __init__(self, path: Path, schemas: Sequence[str] = ()) -> None:
        """Open or make the file. Raises StateError."""
        self._lock = threading.RLock()
        self._depth = 0
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("PRAGMA foreign_keys=ON")
            for schema in schemas:
                self._connection.executescript(schema)
        except sqlite3.Error as error:
            raise errors.StateError(
                f"cannot open {path}: {error}; free space or delete the directory with "
                "`./inv cloud --reset`"
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """Commit all statements of the block together, or none; blocks may be nested."""
        with self._lock:
            self._depth += 1
            try:
                if self._depth == 1:
                    self._connection.execute("BEGIN IMMEDIATE")
                yield self
                if self._depth == 1:
                    self._connection.execute("COMMIT")
            except BaseException:
                if self._depth == 1 and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def execute(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Run one statement; return the number of rows it changed."""
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row, in one transaction."""
        with self.transaction():
            self._connection.executemany(statement, rows)

    def all(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def one(self, query: str, values: Sequence[Any] = ()) -> Row | None:
        """Return the first row of a query, or None."""
        with self._lock:
            row: Row | None = self._connection.execute(query, values).fetchone()
            return row
