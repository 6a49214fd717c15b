"""Tags of component versions, deployments and core devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from verge.cloud import database
from verge.cloud.greengrass import faults

MOST = 200
"""Tags that one resource can have."""
RESERVED = "aws:"


class Tags:
    """Tags by ARN. `exists` says whether an ARN names something that can have tags."""

    def __init__(self, *, database: database.Database, exists: Callable[[str], bool]) -> None:
        self._database = database
        self._exists = exists

    def of(self, arn: str) -> dict[str, str]:
        """Return the tags of a resource."""
        rows = self._database.all(
            "SELECT name, value FROM greengrass_tags WHERE arn = ? ORDER BY name", (arn,)
        )
        return {row["name"]: row["value"] for row in rows}

    def add(self, arn: str, tags: Mapping[str, str]) -> None:
        """Give a resource tags, over those of the same names. Raises ValidationFault."""
        for name in tags:
            if name.lower().startswith(RESERVED):
                raise faults.invalid("tags", f"the tag key {name} begins with aws:, which is AWS's")
        with self._database.transaction():
            if len({*self.of(arn), *tags}) > MOST:
                raise faults.invalid("tags", f"{arn} would have more than {MOST} tags")
            self._database.executemany(
                "INSERT OR REPLACE INTO greengrass_tags VALUES (?, ?, ?)",
                [(arn, name, value) for name, value in tags.items()],
            )

    def remove(self, arn: str, names: Iterable[str]) -> None:
        """Take tags from a resource; names that it has not are ignored."""
        self._database.executemany(
            "DELETE FROM greengrass_tags WHERE arn = ? AND name = ?",
            [(arn, name) for name in names],
        )

    def forget(self, arn: str) -> None:
        """Take all tags from a resource that is gone."""
        self._database.execute("DELETE FROM greengrass_tags WHERE arn = ?", (arn,))

    def require(self, arn: str) -> None:
        """Refuse an ARN that names nothing. Raises NotFoundFault."""
        if not self._exists(arn):
            raise faults.NotFoundFault(f"cannot find a resource {arn}", arn, "resource")
