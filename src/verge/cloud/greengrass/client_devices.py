"""Client devices of core devices: things that may connect through them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from verge.cloud import database as db
from verge.cloud import ports
from verge.cloud.greengrass import core_devices, pages

Params = Mapping[str, Any]
Result = dict[str, Any]


class Clients:
    """The associations of client devices with core devices."""

    def __init__(
        self,
        *,
        database: db.Database,
        registry: core_devices.Registry,
        things: ports.Things,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._registry = registry
        self._things = things
        self._clock = clock

    def associate(self, params: Params) -> Result:
        """Associate things; those that do not exist are named in the answer."""
        core = params["coreDeviceThingName"]
        self._registry.require(core)
        named = _named(params)
        missing = [thing for thing in named if not self._things.exists(thing)]
        self._database.executemany(
            "INSERT OR IGNORE INTO greengrass_client_devices VALUES (?, ?, ?)",
            [(core, thing, self._clock()) for thing in named if thing not in missing],
        )
        return {"errorEntries": [_missing(thing, "there is no such thing") for thing in missing]}

    def disassociate(self, params: Params) -> Result:
        """End associations; things that have none are named in the answer."""
        core = params["coreDeviceThingName"]
        self._registry.require(core)
        refused = []
        for thing in _named(params):
            gone = self._database.execute(
                "DELETE FROM greengrass_client_devices WHERE core_device = ? AND thing = ?",
                (core, thing),
            )
            if not gone:
                refused.append(_missing(thing, f"it is not associated with {core}"))
        return {"errorEntries": refused}

    def list(self, params: Params) -> Result:
        """Return a page of the client devices of a core device, by name."""
        core = params["coreDeviceThingName"]
        self._registry.require(core)
        page = pages.Page.of("ListClientDevicesAssociatedWithCoreDevice", params)
        rows = self._database.all(
            "SELECT thing, associated FROM greengrass_client_devices"
            " WHERE core_device = ? AND thing > ? ORDER BY thing LIMIT ?",
            (core, str(page.after or ""), page.fetch),
        )
        shown, token = page.cut(rows, lambda row: str(row["thing"]))
        devices = [
            {"thingName": row["thing"], "associationTimestamp": row["associated"]} for row in shown
        ]
        return {"associatedClientDevices": devices, "nextToken": token}


def _named(params: Params) -> list[str]:
    return list(dict.fromkeys(entry["thingName"] for entry in params.get("entries", ())))


def _missing(thing: str, reason: str) -> Result:
    return {
        "thingName": thing,
        "code": "ResourceNotFoundException",
        "message": f"cannot find {thing}: {reason}",
    }
