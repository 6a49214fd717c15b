"""Core devices as they reported themselves, and what is installed on them (contract 5.6)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import Any

from verge.cloud import database as db
from verge.cloud.greengrass import arns, faults, history, pages, reports

Params = Mapping[str, Any]
Result = dict[str, Any]

LOCAL = "LOCAL"
_COLUMNS = {
    "coreDeviceThingName": "thing",
    "coreVersion": "core_version",
    "platform": "platform",
    "architecture": "architecture",
    "runtime": "runtime",
    "status": "status",
    "lastStatusUpdateTimestamp": "updated",
}


class Registry:
    """The records of core devices; each begins with the device's first status message."""

    def __init__(
        self, *, database: db.Database, names: arns.Names, deployments: history.Store
    ) -> None:
        self._database = database
        self._names = names
        self._deployments = deployments

    def take(self, thing: str, report: reports.Report, now: float) -> bool:
        """Take in a status message; return whether it was news.

        A message that came before, or after a later one, is none. Numbers that began again tell of
        a device that was set up anew: then its clock decides.
        """
        with self._database.transaction():
            known = self._row(thing)
            chunks = {report.chunk}
            generation = 1
            if known is not None:
                seen = set(json.loads(known["chunks"]))
                same = (report.sequence, report.sent) == (known["sequence"], known["sent"])
                if same and report.chunk in seen:
                    return False
                if not same and _is_old(report, known):
                    return False
                chunks = chunks | seen if same else chunks
                generation = known["generation"] + (0 if same else 1)
            self._write(thing, report, now, generation, chunks)
            self._install(thing, report, now, generation)
            if report.complete and len(chunks) >= report.chunks:
                self._database.execute(
                    "DELETE FROM greengrass_installed WHERE thing = ? AND generation < ?",
                    (thing, generation),
                )
        return True

    def newly_in(
        self, thing: str, states: Set[str], report: reports.Report
    ) -> list[reports.Component]:
        """Return the components that a message finds in some states and that were in others."""
        found = [each for each in report.components if each.state in states]
        if not found:
            return []
        rows = self._database.all(
            "SELECT name, version, state FROM greengrass_installed WHERE thing = ?", (thing,)
        )
        known = {tuple(row) for row in rows}
        return [each for each in found if (each.name, each.version, each.state) not in known]

    def succeeded(self, thing: str, group: str) -> None:
        """Note that a deployment of a group succeeded on a device, for the list by group."""
        self._database.execute(
            "INSERT OR IGNORE INTO greengrass_core_device_groups VALUES (?, ?)", (group, thing)
        )

    def exists(self, thing: str) -> bool:
        """Return whether the device has reported itself."""
        return self._row(thing) is not None

    def require(self, thing: str) -> db.Row:
        """Return the record of a device. Raises NotFoundFault."""
        row = self._row(thing)
        if row is None:
            raise faults.NotFoundFault(
                f"cannot find the core device {thing}: it has not reported its status",
                thing,
                "coreDevice",
            )
        return row

    def get(self, thing: str) -> Result:
        """Return what GetCoreDevice says, less the tags."""
        row = self.require(thing)
        return {name: row[column] for name, column in _COLUMNS.items()}

    def list(self, params: Params) -> Result:
        """Return a page of devices, by name."""
        page = pages.Page.of("ListCoreDevices", params)
        source = "greengrass_core_devices"
        conditions, values = ["thing > ?"], [str(page.after or "")]
        if group := arns.Target.parse(params.get("thingGroupArn", "")):
            source = "greengrass_core_device_groups JOIN greengrass_core_devices USING (thing)"
            conditions.append("target = ?")
            values.append(group.name)
        for name in ("status", "runtime"):
            if name in params:
                conditions.append(f"{name} = ?")
                values.append(params[name])
        listed = {name: column for name, column in _COLUMNS.items() if name != "coreVersion"}
        chosen = ", ".join(f"{column} AS {name}" for name, column in listed.items())
        rows = self._database.listed(
            f"SELECT {chosen} FROM {source} WHERE {' AND '.join(conditions)}"  # noqa: S608 - written here
            " ORDER BY thing LIMIT ?",
            list(listed),
            [*values, page.fetch],
        )
        shown, token = page.cut(rows, lambda row: str(row["coreDeviceThingName"]))
        return {"coreDevices": shown, "nextToken": token}

    def installed(self, params: Params) -> Result:
        """Return a page of the components on a device, by name."""
        thing = params["coreDeviceThingName"]
        self.require(thing)
        page = pages.Page.of("ListInstalledComponents", params)
        only_roots = params.get("topologyFilter", "ROOT") == "ROOT"
        rows = self._database.all(
            "SELECT * FROM greengrass_installed WHERE thing = ? AND name > ?"
            " AND (root = 1 OR ? = 0) ORDER BY name LIMIT ?",
            (thing, str(page.after or ""), int(only_roots), page.fetch),
        )
        shown, token = page.cut(rows, lambda row: str(row["name"]))
        return {"installedComponents": list(map(_installed, shown)), "nextToken": token}

    def delete(self, thing: str) -> None:
        """Remove the record of a device; the thing stays, and its next message makes a new one."""
        with self._database.transaction():
            self.require(thing)
            for statement in (
                "DELETE FROM greengrass_core_devices WHERE thing = ?",
                "DELETE FROM greengrass_core_device_groups WHERE thing = ?",
                "DELETE FROM greengrass_installed WHERE thing = ?",
                "DELETE FROM greengrass_client_devices WHERE core_device = ?",
            ):
                self._database.execute(statement, (thing,))

    def _row(self, thing: str) -> db.Row | None:
        return self._database.one("SELECT * FROM greengrass_core_devices WHERE thing = ?", (thing,))

    def _write(
        self, thing: str, report: reports.Report, now: float, generation: int, chunks: set[int]
    ) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO greengrass_core_devices VALUES"
            " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(thing, report.core_version, report.platform, report.architecture),
                *(report.runtime, report.status, report.sent / 1000 or now),
                *(report.sequence, report.sent, generation, json.dumps(sorted(chunks))),
            ),
        )

    def _install(self, thing: str, report: reports.Report, now: float, generation: int) -> None:
        told = report.sent / 1000 or now
        for component in report.components:
            if component.state == reports.UNINSTALLED:
                self._database.execute(
                    "DELETE FROM greengrass_installed WHERE thing = ? AND name = ?",
                    (thing, component.name),
                )
                continue
            self._database.execute(
                "INSERT INTO greengrass_installed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (thing, name) DO UPDATE SET"
                " changed = CASE WHEN state = excluded.state AND version = excluded.version"
                "           THEN changed ELSE excluded.changed END,"
                " version = excluded.version, state = excluded.state, reason = excluded.reason,"
                " codes = excluded.codes, root = excluded.root, source = excluded.source,"
                " reported = excluded.reported, generation = excluded.generation",
                (
                    *(thing, component.name, component.version, component.state, component.reason),
                    *(json.dumps(component.codes), int(component.root), self._source(component)),
                    *(told, told, generation),
                ),
            )

    def _source(self, component: reports.Component) -> str:
        """Return the newest deployment that brought a component, or LOCAL."""
        found = map(self._deployments.of_configuration, component.sources)
        known = [deployment for deployment in found if deployment is not None]
        return max(known, key=lambda d: d.number).id if known else LOCAL


def _is_old(report: reports.Report, known: db.Row) -> bool:
    return bool(report.sequence <= known["sequence"] and report.sent <= known["sent"])


def _installed(row: db.Row) -> Result:
    return {
        "componentName": row["name"],
        "componentVersion": row["version"],
        "lifecycleState": row["state"],
        "lifecycleStateDetails": row["reason"] or None,
        "isRoot": bool(row["root"]),
        "lastStatusChangeTimestamp": row["changed"],
        "lastReportedTimestamp": row["reported"],
        "lastInstallationSource": row["source"],
        "lifecycleStatusCodes": json.loads(row["codes"]),
    }
