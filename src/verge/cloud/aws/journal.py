"""The requests that made moto what it is, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from verge.cloud import database

SCHEMA = """
CREATE TABLE IF NOT EXISTS aws_journal (
    number INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    seed INTEGER NOT NULL,
    method TEXT NOT NULL,
    target TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
)
"""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A request that changed something; `at` in seconds since the epoch."""

    at: float
    seed: int
    """What moto's random numbers were seeded with: replayed, it makes the same ids."""
    method: str
    target: str
    """The raw path with the query."""
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Journal:
    """Appends entries durably and reads them in order."""

    def __init__(self, rows: database.Database) -> None:
        self._rows = rows

    def append(self, entry: Entry) -> int:
        """Keep an entry; when this returns its number, the death of the process loses nothing."""
        with self._rows.transaction():
            self._rows.execute(
                "INSERT INTO aws_journal (at, seed, method, target, headers, body) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    entry.at,
                    entry.seed,
                    entry.method,
                    entry.target,
                    json.dumps(entry.headers),
                    entry.body,
                ),
            )
            row = self._rows.one("SELECT last_insert_rowid() AS number")
        return 0 if row is None else int(row["number"])

    def has(self, prefix: str) -> bool:
        """Whether a request's path begins with a prefix."""
        return (
            self._rows.one(
                "SELECT 1 FROM aws_journal WHERE substr(target, 1, ?) = ?", (len(prefix), prefix)
            )
            is not None
        )

    def entries(self, after: int = 0, batch: int = 500) -> Iterator[tuple[int, Entry]]:
        """Yield number and entry, oldest first."""
        last = after
        while found := self._rows.all(
            "SELECT * FROM aws_journal WHERE number > ? ORDER BY number LIMIT ?", (last, batch)
        ):
            for row in found:
                last = row["number"]
                yield (
                    last,
                    Entry(
                        at=row["at"],
                        seed=row["seed"],
                        method=row["method"],
                        target=row["target"],
                        headers=tuple((name, value) for name, value in json.loads(row["headers"])),
                        body=row["body"],
                    ),
                )
