"""What belongs to the account or to one thing alone: service role and connectivity."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from verge.cloud import database as db
from verge.cloud import ports
from verge.cloud.greengrass import faults

Params = Mapping[str, Any]
Result = dict[str, Any]

_ROLE = re.compile(r"arn:[^:]+:iam::[0-9]{12}:role/.+")


class Account:
    """The service role of the account and the connectivity information of its things."""

    def __init__(
        self,
        *,
        database: db.Database,
        things: ports.Things,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._things = things
        self._clock = clock

    def associate_role(self, params: Params) -> Result:
        """Name the role that Greengrass takes in this account."""
        if not _ROLE.fullmatch(params["roleArn"]):
            raise faults.invalid("RoleArn", f"{params['roleArn']} is not the ARN of a role")
        now = self._clock()
        self._database.execute(
            "INSERT OR REPLACE INTO greengrass_service_role VALUES (1, ?, ?)",
            (params["roleArn"], now),
        )
        return {"associatedAt": _text(now)}

    def role(self, _params: Params) -> Result:
        """Return the service role."""
        row = self._database.one("SELECT * FROM greengrass_service_role")
        if row is None:
            raise faults.NotFoundFault(
                "cannot find a service role for this account; associate one", "", "serviceRole"
            )
        return {"associatedAt": _text(row["associated"]), "roleArn": row["role"]}

    def disassociate_role(self, _params: Params) -> Result:
        """Forget the service role."""
        self._database.execute("DELETE FROM greengrass_service_role")
        return {"disassociatedAt": _text(self._clock())}

    def connectivity(self, params: Params) -> Result:
        """Return where client devices reach a core device."""
        thing = self._thing(params)
        row = self._database.one("SELECT info FROM greengrass_connectivity WHERE thing = ?", thing)
        return {"connectivityInfo": json.loads(row["info"]) if row else []}

    def update_connectivity(self, params: Params) -> Result:
        """Replace where client devices reach a core device."""
        thing = self._thing(params)
        version = str(uuid.uuid4())
        self._database.execute(
            "INSERT OR REPLACE INTO greengrass_connectivity VALUES (?, ?, ?)",
            (*thing, version, json.dumps(params["connectivityInfo"])),
        )
        return {"version": version, "message": "Connectivity information updated"}

    def _thing(self, params: Params) -> tuple[str]:
        thing = params["thingName"]
        if not self._things.exists(thing):
            raise faults.invalid("thingName", f"there is no thing {thing}")
        return (thing,)


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
