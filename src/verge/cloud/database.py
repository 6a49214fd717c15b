"""The local cloud's SQLite file: a connection that writes, one for lists, safe against SIGKILL."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from verge.cloud import errors

Row = sqlite3.Row


class Database:
    """Shared by all parts and all threads.

    Each part brings its own tables as `CREATE TABLE IF NOT EXISTS` statements, prefixed with the
    part's name. A file with other tables, of another version, is refused. What `transaction`
    committed survives the death of this process.
    """

    def __init__(self, path: Path, schemas: Sequence[str] = ()) -> None:
        """Open or make the file. Raises StateError."""
        self._lock = threading.RLock()
        self._list_lock = threading.Lock()
        wanted = hashlib.sha256("\0".join(schemas).encode()).hexdigest()
        self._depth = 0
        self._owner: int | None = None
        """The thread whose transaction is open."""
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("PRAGMA foreign_keys=ON")
            found = self._read_schema()
            if found not in {None, wanted}:
                self._connection.close()
                raise errors.StateError(
                    f"cannot use {path}: another version of the local cloud wrote it; empty it "
                    "with `./inv cloud --reset`, then `./inv up` makes everything again"
                )
            # First of all tables and filled last: a start that is cut off is no other version.
            self._connection.execute("CREATE TABLE IF NOT EXISTS cloud_schema (digest TEXT)")
            for schema in schemas:
                self._connection.executescript(schema)
            if found is None:
                self._connection.execute("INSERT INTO cloud_schema VALUES (?)", (wanted,))
            self._lists = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._lists.execute("PRAGMA query_only=ON")
        except sqlite3.Error as error:
            raise errors.StateError(
                f"cannot open {path}: {error}; free space or delete the directory with "
                "`./inv cloud --reset`"
            ) from error

    def _read_schema(self) -> str | None:
        """Return the digest of the tables that the file was made with; None while it is new."""
        tables = {row[0] for row in self._connection.execute("SELECT name FROM sqlite_master")}
        if "cloud_schema" not in tables:
            return None if not tables else ""
        row = self._connection.execute("SELECT digest FROM cloud_schema").fetchone()
        return str(row[0]) if row else None

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._list_lock:
            self._lists.close()
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """Commit all statements of the block together, or none; blocks may be nested."""
        with self._lock:
            self._depth += 1
            self._owner = threading.get_ident()
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
                if self._depth == 0:
                    self._owner = None

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

    def listed(
        self, query: str, columns: Sequence[str], values: Sequence[Any] = ()
    ) -> list[dict[str, Any]]:
        """Return columns of all rows of a query, which must be no blobs, as one JSON document.

        Between two rows of `all` other threads may run, and with many of them a hundred rows take
        a hundred turns; this takes one. It waits for no transaction of another thread, of which it
        sees nothing before the commit.
        """
        members = ", ".join(f"'{column}', {column}" for column in columns)
        document = f"SELECT json_group_array(json_object({members})) FROM ({query})"  # noqa: S608 - names are written in the code
        if self._owner == threading.get_ident():
            row = self._connection.execute(document, values).fetchone()
        else:
            with self._list_lock:
                row = self._lists.execute(document, values).fetchone()
        found: list[dict[str, Any]] = msgspec.json.decode(row[0])
        return found

    def one(self, query: str, values: Sequence[Any] = ()) -> Row | None:
        """Return the first row of a query, or None."""
        with self._lock:
            row: Row | None = self._connection.execute(query, values).fetchone()
            return row
