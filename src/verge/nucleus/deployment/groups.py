"""What the device knows of the groups whose deployments it carries out (contract 3.3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from verge.nucleus.store import database

_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS fleet_groups (
        thing_group TEXT PRIMARY KEY, created REAL NOT NULL, arn TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE TABLE IF NOT EXISTS fleet_members (thing_group TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS fleet_facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
)

_KNOWN = "membership known"


class Groups:
    """The last deployment of every group, and the groups that the device was last said to be in."""

    def __init__(self, db: database.Database) -> None:
        self._db = db
        for table in _TABLES:
            db.execute(table)
        self._last: dict[str, tuple[float, str]] = {
            group: (created, arn)
            for group, created, arn in db.rows("SELECT thing_group, created, arn FROM fleet_groups")
        }

    def last(self, group: str) -> float:
        """Return when the last deployment that succeeded was made, 0 if there was none."""
        return self._last[group][0] if group in self._last else 0.0

    def arns(self) -> Mapping[str, str]:
        """Return the configuration that is in force, by group."""
        return {group: arn for group, (_, arn) in self._last.items()}

    def note(self, group: str, created: float, arn: str, present: Collection[str]) -> None:
        """Note a success, and forget the groups that are not present any more."""
        kept = {g: last for g, last in self._last.items() if g in present}
        kept[group] = (created, arn)
        with self._db.transaction():
            self._db.execute("DELETE FROM fleet_groups")
            self._db.execute_many(
                "INSERT INTO fleet_groups VALUES (?, ?, ?)",
                [(name, *last) for name, last in kept.items()],
            )
        self._last = kept

    def members(self) -> frozenset[str] | None:
        """Return the groups the device was last said to be in; None if nobody ever said."""
        if not self.fact(_KNOWN, 0):
            return None
        return frozenset(name for (name,) in self._db.rows("SELECT * FROM fleet_members"))

    def remember(self, members: Collection[str]) -> None:
        """Keep what the cloud said, for when it cannot be asked."""
        with self._db.transaction():
            self._db.execute("DELETE FROM fleet_members")
            self._db.execute_many(
                "INSERT INTO fleet_members VALUES (?)", [(name,) for name in members]
            )
            self.set_fact(_KNOWN, 1)

    def fact(self, name: str, default: int) -> int:
        """Return a number that outlives the nucleus."""
        rows = self._db.rows("SELECT value FROM fleet_facts WHERE name = ?", name)
        return int(rows[0][0]) if rows else default

    def set_fact(self, name: str, value: int) -> None:
        """Keep a number; on return it is on disk."""
        with self._db.transaction():
            self._db.execute("INSERT OR REPLACE INTO fleet_facts VALUES (?, ?)", name, value)
