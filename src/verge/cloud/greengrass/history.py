"""The deployments of each target: one active revision and those before it (contract 5.5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from verge.cloud import database as db
from verge.cloud.greengrass import arns

ACTIVE = "ACTIVE"
CANCELED = "CANCELED"
COMPLETED = "COMPLETED"
FAILED = "FAILED"
INACTIVE = "INACTIVE"
DELETED = "DELETED"
"""Our own word: the row stays, because revisions are numbered on and devices may run it still."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment; `number` orders all of them, `request` is as it was asked for.

    `document` is what a device is to run, `reference` stands for it where it is too large to send.
    """

    number: int
    id: str
    kind: str
    target: str
    parent: str | None
    revision: int
    request: Mapping[str, Any]
    document: Mapping[str, Any]
    reference: Mapping[str, Any] | None
    job: str | None
    created: float
    status: str
    latest: bool

    @property
    def sent(self) -> dict[str, Any]:
        """Return the document that the job or the shadow carries."""
        return dict(self.reference or self.document)

    @property
    def configuration_arn(self) -> str:
        """Return how devices name this revision."""
        return str(self.document["configurationArn"])


class Store:
    """The rows of deployments."""

    def __init__(self, *, database: db.Database) -> None:
        self._database = database
        self.generation = 0
        """Counts changes, for those who remember what they derived from the deployments."""

    def next_revision(self, kind: str, target: str) -> int:
        """Return the number of the next revision of a target."""
        row = self._database.one(
            "SELECT coalesce(max(revision), 0) + 1 FROM greengrass_deployments"
            " WHERE kind = ? AND target = ?",
            (kind, target),
        )
        return int(row[0]) if row else 1

    def newest_time(self) -> float:
        """Return when the newest deployment was made: devices refuse older ones as stale."""
        row = self._database.one(
            "SELECT created FROM greengrass_deployments ORDER BY number DESC LIMIT 1"
        )
        return float(row[0]) if row else 0.0

    def parent_of(self, group: str) -> str | None:
        """Return the ARN of the parent that a group's subdeployments were made for."""
        row = self._database.one(
            "SELECT parent FROM greengrass_deployments"
            " WHERE kind = ? AND target = ? AND parent IS NOT NULL LIMIT 1",
            (arns.THING_GROUP, group),
        )
        return None if row is None else str(row["parent"])

    def add(self, new: Deployment) -> list[Deployment]:
        """Store a new revision, undelivered; return those that it replaces.

        These are the target's own and, for a parent, those of its subdeployments.
        """
        with self._database.transaction():
            replaced = self._replaced(new)
            self._database.executemany(
                "UPDATE greengrass_deployments SET status = ? WHERE id = ?",
                [(INACTIVE, old.id) for old in replaced],
            )
            self._database.execute(
                "UPDATE greengrass_deployments SET latest = 0"
                " WHERE kind = ? AND target = ? AND latest = 1",
                (new.kind, new.target),
            )
            self._insert(new)
        self.generation += 1
        return replaced

    def replaced_by(self, new: Deployment) -> list[Deployment]:
        """Return what a stored revision has replaced and whose jobs may not know of it yet."""
        own = self._read_all(
            "kind = ? AND target = ? AND number < ? ORDER BY number DESC LIMIT 1",
            (new.kind, new.target, new.number),
        )
        if new.kind != arns.THING_GROUP or new.parent is not None:
            return own
        parent = str(new.request["targetArn"])
        below = "parent = ? AND number < ? AND status = ?"
        return [*own, *self._read_all(below, (parent, new.number, INACTIVE))]

    def delivered(self, deployment_id: str) -> None:
        """Note that jobs or the shadow have taken a deployment over."""
        self._database.execute(
            "UPDATE greengrass_deployments SET delivered = 1 WHERE id = ?", (deployment_id,)
        )

    def undelivered(self) -> list[Deployment]:
        """Return what an earlier process stored and may not have handed over, oldest first."""
        return self._read_all("delivered = 0 ORDER BY number", ())

    def set_status(self, deployment_id: str, status: str, *, only_if: str) -> bool:
        """Change the status if it is `only_if`; return whether it was."""
        self.generation += 1
        return bool(
            self._database.execute(
                "UPDATE greengrass_deployments SET status = ? WHERE id = ? AND status = ?",
                (status, deployment_id, only_if),
            )
        )

    def find(self, deployment_id: str) -> Deployment | None:
        """Return a deployment, also a deleted one."""
        return self._read_one("id = ?", (deployment_id,))

    def of_job(self, job_id: str) -> Deployment | None:
        """Return the deployment that a job carries."""
        return self._read_one("job = ?", (job_id,))

    def of_configuration(self, arn: str) -> Deployment | None:
        """Return the deployment that a device names by its configuration."""
        found = arns.Configuration.parse(arn)
        if found is None:
            return None
        return self._read_one(
            "kind = ? AND target = ? AND revision = ?", (found.kind, found.name, found.revision)
        )

    def select(
        self,
        *,
        before: int | None,
        most: int,
        target: arns.Target | None = None,
        parent: str | None = None,
        latest_only: bool = True,
    ) -> list[Deployment]:
        """Return deployments that are not deleted, newest first, below a number."""
        conditions: list[str] = ["status <> ?"]
        values: list[str | int] = [DELETED]
        filters: tuple[tuple[str, str | int | None], ...] = (
            ("number < ?", before),
            ("kind = ?", None if target is None else target.kind),
            ("target = ?", None if target is None else target.name),
            ("parent = ?", parent),
            ("latest = ?", 1 if latest_only else None),
        )
        for condition, value in filters:
            if value is not None:
                conditions.append(condition)
                values.append(value)
        where = f"{' AND '.join(conditions)} ORDER BY number DESC LIMIT {int(most)}"
        return self._read_all(where, values)

    def roots(self, kind: str, target: str) -> set[tuple[str, str]]:
        """Return names and versions that revisions of a target brought."""
        rows = self._database.all(
            "SELECT DISTINCT name, version FROM greengrass_roots WHERE kind = ? AND target = ?",
            (kind, target),
        )
        return {(row["name"], row["version"]) for row in rows}

    def remove(self, deployment_id: str) -> None:
        """Hide a deployment; what it brought is no longer readable on its account."""
        with self._database.transaction():
            self._database.execute(
                "UPDATE greengrass_deployments SET status = ? WHERE id = ?",
                (DELETED, deployment_id),
            )
            self._database.execute(
                "DELETE FROM greengrass_roots WHERE deployment = ?", (deployment_id,)
            )
        self.generation += 1

    def _replaced(self, new: Deployment) -> list[Deployment]:
        own = self._read_all(
            "kind = ? AND target = ? AND status IN (?, ?)",
            (new.kind, new.target, ACTIVE, COMPLETED),
        )
        if new.kind != arns.THING_GROUP or new.parent is not None:
            return own
        parent = str(new.request["targetArn"])
        return [*own, *self._read_all("parent = ? AND status = ?", (parent, ACTIVE))]

    def _insert(self, new: Deployment) -> None:
        reference = None if new.reference is None else json.dumps(new.reference)
        self._database.execute(
            "INSERT INTO greengrass_deployments (id, kind, target, parent, revision, request,"
            " document, reference, job, created, status, latest, delivered)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 0)",
            (
                *(new.id, new.kind, new.target, new.parent, new.revision, json.dumps(new.request)),
                *(json.dumps(new.document), reference, new.job, new.created, new.status),
            ),
        )
        self._database.executemany(
            "INSERT INTO greengrass_roots VALUES (?, ?, ?, ?, ?)",
            [
                (new.kind, new.target, name, spec["componentVersion"], new.id)
                for name, spec in new.request.get("components", {}).items()
            ],
        )

    def _read_one(self, where: str, values: tuple[Any, ...]) -> Deployment | None:
        return next(iter(self._read_all(where, values)), None)

    def _read_all(self, where: str, values: Any) -> list[Deployment]:
        rows = self._database.all(f"SELECT * FROM greengrass_deployments WHERE {where}", values)  # noqa: S608 - conditions are written here, values are bound
        return list(map(_read, rows))


def _read(row: db.Row) -> Deployment:
    reference = row["reference"]
    return Deployment(
        number=row["number"],
        id=row["id"],
        kind=row["kind"],
        target=row["target"],
        parent=row["parent"],
        revision=row["revision"],
        request=json.loads(row["request"]),
        document=json.loads(row["document"]),
        reference=None if reference is None else json.loads(reference),
        job=row["job"],
        created=row["created"],
        status=row["status"],
        latest=bool(row["latest"]),
    )
