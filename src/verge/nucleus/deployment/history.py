"""Deployments in the database: what is queued, what runs, what became of the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from verge.nucleus import faults
from verge.nucleus.deployment.documents import Phase, Record
from verge.nucleus.store import database, durable, state

KEPT = 50
"""Ended deployments that are remembered."""


class History:
    """All deployments that are known, in the order they came."""

    def __init__(self, db: database.Database, directory: Path) -> None:
        self._db = db
        self._directory = directory
        decoder = msgspec.json.Decoder(Record)
        self.records: dict[str, Record] = {}
        self.phases: dict[str, Phase] = {}
        self.changed: Callable[[Record], None] = lambda _record: None
        """Called when a deployment has been added or written back."""
        for identity, phase, document in db.rows(
            "SELECT id, phase, document FROM deployments ORDER BY number"
        ):
            self.records[identity] = decoder.decode(document)
            self.phases[identity] = Phase(phase)

    def waiting(self) -> list[Record]:
        """Return the deployments that have not ended, oldest first."""
        return [r for r in self.records.values() if self.phases[r.id] is not Phase.DONE]

    def add(self, record: Record) -> None:
        """Remember a new deployment; on return it is on disk."""
        with self._db.transaction():
            self._db.execute(
                "INSERT INTO deployments (id, phase, document) VALUES (?, ?, ?)",
                record.id,
                Phase.QUEUED,
                msgspec.json.encode(record),
            )
        self.records[record.id] = record
        self.phases[record.id] = Phase.QUEUED
        self.changed(record)

    def save(self, record: Record, phase: Phase) -> None:
        """Write a deployment back; part of the caller's transaction if there is one."""
        with self._db.transaction():
            self._db.execute(
                "UPDATE deployments SET phase = ?, document = ? WHERE id = ?",
                phase,
                msgspec.json.encode(record),
                record.id,
            )
            if phase is Phase.DONE:
                self._db.execute(
                    "UPDATE deployments SET snapshot = NULL, target = NULL WHERE id = ?", record.id
                )
        self.phases[record.id] = phase
        self.changed(record)

    def save_snapshot(self, record: Record, snapshot: state.DeviceState) -> None:
        """Keep the state to go back to."""
        self._db.execute(
            "UPDATE deployments SET snapshot = ? WHERE id = ?", state.encode(snapshot), record.id
        )

    def snapshot(self, record: Record) -> state.DeviceState:
        """Return the state before a deployment."""
        ((document,),) = self._db.rows("SELECT snapshot FROM deployments WHERE id = ?", record.id)
        return state.decode(document) if document else state.DeviceState()

    def save_target(self, record: Record, target: state.DeviceState) -> None:
        """Keep the state that is to be activated once the bootstrap steps are done."""
        self._db.execute(
            "UPDATE deployments SET target = ? WHERE id = ?", state.encode(target), record.id
        )

    def target(self, record: Record) -> state.DeviceState:
        """Return the state that a deployment is to activate."""
        ((document,),) = self._db.rows("SELECT target FROM deployments WHERE id = ?", record.id)
        return state.decode(document)

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Do everything inside or nothing."""
        return self._db.transaction()

    def back_up(self) -> None:
        """Keep a copy of the database. Raises StoreError."""
        self._db.back_up()

    def forget_old(self) -> None:
        """Forget the oldest ended deployments, their directories included."""
        done = [
            identity
            for identity, phase in self.phases.items()
            if phase is Phase.DONE and not self.records[identity].unreported
        ]
        for identity in done[:-KEPT]:
            self._db.execute("DELETE FROM deployments WHERE id = ?", identity)
            del self.records[identity], self.phases[identity]
            faults.write_point()
            report = self.report_file(identity)
            report.unlink(missing_ok=True)
            if report.parent.is_dir():
                report.parent.rmdir()

    # What else outlives a deployment

    def report_file(self, identity: str) -> Path:
        """Return the file with everything known about an ended deployment, as JSON."""
        return self._directory / identity / "deployment_metadata.json"

    def write_report(self, record: Record) -> None:
        """Write the report for the command line and for whoever looks later."""
        file = self.report_file(record.id)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.write_atomically(file, msgspec.json.encode(report_of(record)).decode(), 0o600)

    def use_versions(
        self, device: state.DeviceState, keep: int
    ) -> Collection[tuple[str, str, str]]:
        """Note what is in use now; return the versions to keep: present ones and former ones."""
        ((number,),) = self._db.rows("SELECT COALESCE(MAX(used), 0) + 1 FROM packages")
        with self._db.transaction():
            self._db.execute_many(
                "INSERT OR REPLACE INTO packages VALUES (?, ?, ?, ?)",
                [(c.name, c.version, c.content, number) for c in device.components.values()],
            )
            kept: list[tuple[str, str, str]] = []
            for name in device.components:
                rows = self._db.rows(
                    "SELECT component, version, content FROM packages WHERE component = ? "
                    "ORDER BY used DESC",
                    name,
                )
                kept += [(c, v, content) for c, v, content in rows[:keep]]
            self._db.execute("DELETE FROM packages")
            self._db.execute_many(
                "INSERT INTO packages VALUES (?, ?, ?, ?)",
                [(*row, number - index) for index, row in enumerate(kept)],
            )
        return kept

    def stored_versions(self) -> Mapping[str, list[str]]:
        """Return the versions in the store by component."""
        found: dict[str, list[str]] = {}
        for name, version in self._db.rows("SELECT DISTINCT component, version FROM packages"):
            found.setdefault(name, []).append(version)
        return found


def report_of(record: Record) -> dict[str, Any]:
    """Return everything known about a deployment that a user may want."""
    return {
        "deployment_id": record.id,
        "created": record.created,
        "status": record.status,
        "detailed_status": record.detail,
        "error_stack": record.error_stack,
        "error_types": record.error_types,
        "failure_cause": record.failure_cause,
        "bytes_copied": record.bytes_copied,
        "bytes_fetched": record.bytes_fetched,
        "logs": {fault.component: list(fault.lines) for fault in record.faults},
    }
