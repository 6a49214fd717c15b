"""Jobs and their executions as they lie in SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from verge.cloud import database
from verge.cloud.jobs import model, states

_SELECT = "SELECT e.*, j.namespace FROM jobs_execution e JOIN jobs_job j ON j.id = e.job_id "
_RUNNING = "e.status = 'IN_PROGRESS'"
_AMONG = "AND e.thing IN (SELECT value FROM json_each(?))"
_EXPIRES = "min(coalesce(e.deadline, e.step_deadline), coalesce(e.step_deadline, e.deadline))"
_LATEST = (
    "NOT EXISTS (SELECT 1 FROM jobs_execution l WHERE l.job_id = e.job_id "
    "AND l.thing = e.thing AND l.number > e.number) "
)


def _execution(row: database.Row | dict[str, Any]) -> model.Execution:
    values = dict(row)
    values["details"] = json.loads(values["details"])
    values["forced"] = bool(values["forced"])
    return model.Execution(**values)


class Store:
    """Rows in, rows out; what they mean is the service's business."""

    def __init__(self, database: database.Database) -> None:
        self._database = database

    def transaction(self) -> AbstractContextManager[Any]:
        """Commit all of a block or nothing."""
        return self._database.transaction()

    def add_job(self, job: model.Job, document: str) -> None:
        """Keep a new job."""
        self._database.execute(
            "INSERT INTO jobs_job VALUES (?, ?, ?, ?, ?, ?)",
            (job.id, job.namespace, job.continuous, job.status, job.created_at, _content(job)),
        )
        self._database.execute("INSERT INTO jobs_document VALUES (?, ?)", (job.id, document))

    def save_job(self, job: model.Job) -> None:
        """Keep what has changed of a job."""
        self._database.execute(
            "UPDATE jobs_job SET status = ?, content = ? WHERE id = ?",
            (job.status, _content(job), job.id),
        )

    def delete_job(self, job_id: str) -> None:
        """Forget a job and its executions."""
        self._database.execute("DELETE FROM jobs_job WHERE id = ?", (job_id,))

    def job(self, job_id: str) -> model.Job | None:
        """Return a job."""
        row = self._database.one("SELECT content FROM jobs_job WHERE id = ?", (job_id,))
        return None if row is None else msgspec.json.decode(row["content"], type=model.Job)

    def jobs(self, *, active: bool = False) -> list[model.Job]:
        """Return all jobs, newest first, or those in progress only."""
        rows = self._database.all(
            "SELECT content FROM jobs_job WHERE ? IN ('', status) "
            "ORDER BY created_at DESC, rowid DESC",
            (states.IN_PROGRESS if active else "",),
        )
        return [msgspec.json.decode(row["content"], type=model.Job) for row in rows]

    def document(self, job_id: str) -> str:
        """Return the document of a job that exists, JSON."""
        query = "SELECT document FROM jobs_document WHERE job_id = ?"
        row = self._database.one(query, (job_id,))
        return "" if row is None else str(row["document"])

    def members(self, job_id: str) -> set[str]:
        """Return the things that the targets of a continuous job stood for when last asked."""
        query = "SELECT thing FROM jobs_member WHERE job_id = ?"
        return {row["thing"] for row in self._database.listed(query, ["thing"], (job_id,))}

    def change_members(self, job_id: str, joined: Iterable[str], left: Iterable[str]) -> None:
        """Remember who joined and who left since."""
        self._database.execute(
            "INSERT OR IGNORE INTO jobs_member SELECT ?, value FROM json_each(?)",
            (job_id, _array(joined)),
        )
        self._database.execute(
            "DELETE FROM jobs_member WHERE job_id = ? AND thing IN "
            "(SELECT value FROM json_each(?))",
            (job_id, _array(left)),
        )

    def wait(self, job_id: str, things: Iterable[str]) -> None:
        """Remember things that are still to be told of the job, in this order."""
        self._database.execute(
            "INSERT OR IGNORE INTO jobs_waiting SELECT ?, value FROM json_each(?)",
            (job_id, _array(things)),
        )

    def waiting(self, job_id: str, limit: int | None = None) -> list[str]:
        """Return things that are still to be told, in their order."""
        query = "SELECT thing FROM jobs_waiting WHERE job_id = ? ORDER BY rowid LIMIT ?"
        values = (job_id, -1 if limit is None else limit)
        return [row["thing"] for row in self._database.listed(query, ["thing"], values)]

    def forget_waiting(self, job_id: str, things: Iterable[str]) -> None:
        """Take things off the list of those still to be told."""
        self._database.execute(
            "DELETE FROM jobs_waiting WHERE job_id = ? AND thing IN "
            "(SELECT value FROM json_each(?))",
            (job_id, _array(things)),
        )

    def forget_all_waiting(self, job_id: str) -> None:
        """Tell nobody of a job any more."""
        self._database.execute("DELETE FROM jobs_waiting WHERE job_id = ?", (job_id,))

    def queue(self, job_id: str, rows: Sequence[tuple[str, int, float]]) -> None:
        """Add executions: thing, number and the time they were queued."""
        self._database.executemany(
            "INSERT INTO jobs_execution (job_id, thing, number, status, queued_at, updated_at) "
            "VALUES (?, ?, ?, 'QUEUED', ?, ?)",
            [(job_id, thing, number, at, at) for thing, number, at in rows],
        )

    def cancel_queued(self, job_id: str, now: float, *, forced: bool) -> list[str]:
        """End the executions that no device has begun; return their things."""
        query = "SELECT thing FROM jobs_execution WHERE job_id = ? AND status = 'QUEUED'"
        things = [row["thing"] for row in self._database.listed(query, ["thing"], (job_id,))]
        self._database.execute(
            "UPDATE jobs_execution SET status = 'CANCELED', updated_at = ?, version = version + 1, "
            "forced = ? WHERE job_id = ? AND status = 'QUEUED'",
            (now, forced, job_id),
        )
        return things

    def save_execution(self, execution: model.Execution) -> None:
        """Keep what has changed of an execution."""
        self._database.execute(
            "UPDATE jobs_execution SET status = ?, details = ?, started_at = ?, updated_at = ?, "
            "version = ?, deadline = ?, step_deadline = ?, forced = ? "
            "WHERE job_id = ? AND thing = ? AND number = ?",
            (
                execution.status,
                json.dumps(execution.details),
                execution.started_at,
                execution.updated_at,
                execution.version,
                execution.deadline,
                execution.step_deadline,
                execution.forced,
                execution.job_id,
                execution.thing,
                execution.number,
            ),
        )

    def delete_execution(self, job_id: str, thing: str, number: int) -> None:
        """Forget an execution."""
        self._database.execute(
            "DELETE FROM jobs_execution WHERE job_id = ? AND thing = ? AND number = ?",
            (job_id, thing, number),
        )

    def execution(
        self, job_id: str, thing: str, number: int | None = None
    ) -> model.Execution | None:
        """Return an execution, the newest unless a number is given."""
        where, values = "WHERE e.job_id = ? AND e.thing = ? ", [job_id, thing]
        if number is not None:
            where, values = where + "AND e.number = ? ", [*values, str(number)]
        row = self._database.one(_SELECT + where + "ORDER BY e.number DESC", values)
        return None if row is None else _execution(row)

    def executions_of_job(
        self, job_id: str, *, status: str | None = None, after: str = "", most: int = -1
    ) -> list[model.Execution]:
        """Return the newest execution of a job for each of its things, by thing.

        `status` chooses those that have it; at most so many, behind a thing. Times are exact to
        some microseconds.
        """
        rows = self._database.listed(
            _SELECT + "WHERE e.job_id = ?1 AND e.thing > ?2 AND (?3 IS NULL OR e.status = ?3) AND "
            f"{_LATEST} ORDER BY e.thing LIMIT ?4",
            model.Execution.__struct_fields__,
            (job_id, after, status, most),
        )
        return [_execution(row) for row in rows]

    def newest(self, job_id: str, things: Iterable[str]) -> dict[str, model.Execution]:
        """Return the newest execution of a job for those of some things that have one."""
        rows = self._database.all(
            _SELECT + "WHERE e.job_id = ? AND " + _LATEST + _AMONG,
            (job_id, _array(things)),
        )
        return {row["thing"]: _execution(row) for row in rows}

    def executions_of_thing(self, thing: str) -> list[model.Execution]:
        """Return all executions for a thing, oldest first."""
        rows = self._database.all(
            _SELECT + "WHERE e.thing = ? ORDER BY e.queued_at, e.rowid", (thing,)
        )
        return [_execution(row) for row in rows]

    def pending(self, thing: str, namespace: str) -> list[model.Execution]:
        """Return what a thing still has to do, in the order in which it is to do it."""
        rows = self._database.all(
            _SELECT + "WHERE e.thing = ? AND e.status IN ('QUEUED', 'IN_PROGRESS') "
            "AND j.namespace = ? ORDER BY e.status = 'QUEUED', e.queued_at, e.rowid",
            (thing, namespace),
        )
        return [_execution(row) for row in rows]

    def pending_of_job(self, job_id: str) -> list[model.Execution]:
        """Return the executions of a job that have not ended."""
        rows = self._database.all(
            _SELECT + "WHERE e.job_id = ? AND e.status IN ('QUEUED', 'IN_PROGRESS')", (job_id,)
        )
        return [_execution(row) for row in rows]

    def has_ended(self, job_id: str) -> bool:
        """Whether no thing waits for a job or is still to end it."""
        row = self._database.one(
            "SELECT EXISTS (SELECT 1 FROM jobs_waiting WHERE job_id = ?1) OR EXISTS ("
            "SELECT 1 FROM jobs_execution WHERE job_id = ?1 "
            "AND status IN ('QUEUED', 'IN_PROGRESS')) AS goes_on",
            (job_id,),
        )
        return row is not None and not row["goes_on"]

    def all_pending(self) -> list[tuple[str, str]]:
        """Return the things that have something to do, each with the namespace of it."""
        rows = self._database.all(
            "SELECT DISTINCT e.thing, j.namespace FROM jobs_execution e "
            "JOIN jobs_job j ON j.id = e.job_id WHERE e.status IN ('QUEUED', 'IN_PROGRESS')"
        )
        return [(row["thing"], row["namespace"]) for row in rows]

    def overdue(self, now: float) -> list[model.Execution]:
        """Return the executions whose time has run out."""
        rows = self._database.all(f"{_SELECT} WHERE {_EXPIRES} <= ? AND {_RUNNING}", (now,))
        return [_execution(row) for row in rows]

    def next_expiry(self) -> float | None:
        """Return when the time of the next execution runs out."""
        row = self._database.one(
            f"SELECT min({_EXPIRES}) FROM jobs_execution e WHERE {_RUNNING}"  # noqa: S608 - written here
        )
        return None if row is None else row[0]

    def counts(self, job_id: str, queued_until: float | None = None) -> dict[str, int]:
        """Return the number of executions of a job by status, or of those queued until a time."""
        rows = self._database.all(
            "SELECT status, count(*) AS number FROM jobs_execution WHERE job_id = ?1 "
            "AND (?2 IS NULL OR queued_at <= ?2) GROUP BY status",
            (job_id, queued_until),
        )
        return {row["status"]: row["number"] for row in rows}

    def queued_since(self, job_id: str, time: float) -> list[float]:
        """Return when executions of a job were queued after a time, ascending."""
        rows = self._database.all(
            "SELECT queued_at FROM jobs_execution WHERE job_id = ? AND queued_at > ? "
            "ORDER BY queued_at",
            (job_id, time),
        )
        return [row["queued_at"] for row in rows]


def _array(values: Iterable[str]) -> str:
    """Return values for one statement: a statement for each gives up its turn as often."""
    return json.dumps(list(values))


def _content(job: model.Job) -> str:
    return msgspec.json.encode(job).decode()
