"""Shadows as they lie in SQLite."""

from __future__ import annotations

from typing import Any

import msgspec

from verge.cloud import database
from verge.cloud.shadows import documents

SCHEMA = """
CREATE TABLE IF NOT EXISTS shadows_shadow (
    thing TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    time INTEGER NOT NULL,
    state TEXT,
    metadata TEXT NOT NULL,
    PRIMARY KEY (thing, name)
);
"""


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow; `state` and `metadata` have `desired` and `reported` where they are not empty."""

    state: documents.Tree
    metadata: documents.Tree
    version: int
    time: int
    """When it was changed, whole seconds since the epoch."""

    @property
    def delta(self) -> documents.Tree:
        """What is desired and not reported."""
        desired, reported = (self.state.get(each, {}) for each in documents.SECTIONS)
        return documents.difference(desired, reported)

    def whole(self) -> documents.Tree:
        """Return the document that `get` answers, without its time."""
        state = dict(self.state)
        if self.delta:
            state["delta"] = self.delta
        return {"state": state, "metadata": self.metadata, "version": self.version}


class Store:
    """Reads and writes shadows. A deleted one keeps its version: the next continues from it."""

    def __init__(self, database: database.Database) -> None:
        self._database = database

    def find(self, thing: str, name: str) -> Shadow | None:
        """Return a shadow that exists."""
        row = self._row(thing, name)
        if row is None or row["state"] is None:
            return None
        return Shadow(
            state=msgspec.json.decode(row["state"]),
            metadata=msgspec.json.decode(row["metadata"]),
            version=row["version"],
            time=row["time"],
        )

    def version(self, thing: str, name: str) -> int:
        """Return the version a shadow has or had; 0 if it never was."""
        row = self._row(thing, name)
        return 0 if row is None else int(row["version"])

    def save(self, thing: str, name: str, shadow: Shadow) -> None:
        """Keep a shadow."""
        self._write(
            thing,
            name,
            shadow.version,
            shadow.time,
            msgspec.json.encode(shadow.state).decode(),
            msgspec.json.encode(shadow.metadata).decode(),
        )

    def delete(self, thing: str, name: str, version: int, time: int) -> None:
        """Take a shadow's contents away."""
        self._write(thing, name, version, time, None, "{}")

    def names(self, thing: str) -> list[str]:
        """Return the names of a thing's shadows, sorted; the classic one has none."""
        rows = self._database.all(
            "SELECT name FROM shadows_shadow WHERE thing = ? AND name != '' AND state IS NOT NULL "
            "ORDER BY name",
            (thing,),
        )
        return [row["name"] for row in rows]

    def _row(self, thing: str, name: str) -> database.Row | None:
        return self._database.one(
            "SELECT * FROM shadows_shadow WHERE thing = ? AND name = ?", (thing, name)
        )

    def _write(self, *values: Any) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO shadows_shadow VALUES (?, ?, ?, ?, ?, ?)", values
        )
