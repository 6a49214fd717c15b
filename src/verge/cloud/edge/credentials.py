"""The credentials provider: a device's certificate for AWS credentials of a role alias."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence

from werkzeug.wrappers import Request, Response

from verge.cloud import database as db
from verge.cloud import ports
from verge.cloud.edge import guard
from verge.cloud.http import answers, routing
from verge.cloud.identity import role_aliases

SCHEMA = """
CREATE TABLE IF NOT EXISTS edge_credentials (
    access_key_id TEXT PRIMARY KEY,
    certificate BLOB NOT NULL,
    role_alias TEXT NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS edge_credentials_expires ON edge_credentials (expires);
"""
ACTION = "iot:AssumeRoleWithCertificate"
MARGIN = 3600.0  # seconds for which ended credentials are remembered, so that clocks may differ

_CREDENTIAL = re.compile(r"Credential=([A-Z0-9]+)/")


class Credentials:
    """Hands out credentials, and remembers for which certificate.

    Unlike AWS, credentials end when the certificate could not get them any more: a device that was
    cut off keeps nothing.
    """

    def __init__(
        self,
        *,
        guard: guard.Guard,
        things: ports.Things,
        sessions: ports.Sessions,
        database: db.Database,
    ) -> None:
        self._guard = guard
        self._things = things
        self._sessions = sessions
        self._database = database

    def routes(self) -> Sequence[routing.Route]:
        """Return the one request there is."""
        return (routing.Route.of("GET", "/role-aliases/{alias}/credentials", self._issue),)

    def ended(self, request: Request) -> bool:
        """Whether a request to S3 uses credentials that its device could not get any more."""
        named = {
            request.args.get("X-Amz-Credential", "").partition("/")[0],
            request.args.get("AWSAccessKeyId", ""),  # the signature boto3 presigns with
        }
        named.update(_CREDENTIAL.findall(request.headers.get("Authorization", "")))
        return any(self._ended(key) for key in named)

    def _ended(self, access_key_id: str) -> bool:
        row = self._database.one(
            "SELECT certificate, role_alias FROM edge_credentials WHERE access_key_id = ?",
            (access_key_id,),
        )
        if row is None:
            return False
        device = self._things.authenticate(row["certificate"])
        return device is None or not self._guard.allows(device, ACTION, row["role_alias"])

    def _issue(self, request: Request, values: Mapping[str, str]) -> Response:
        device = self._guard.device(request)
        self._guard.require_self(
            device, request.headers.get("x-amzn-iot-thingname") or device.thing
        )
        alias = values["alias"]
        resource = self._guard.arn("iot", f"rolealias/{alias}")
        self._guard.require(device, ACTION, resource)
        named = self._things.role_alias(alias)
        if named is None:
            raise guard.RefusalError(
                404,
                "ResourceNotFoundException",
                f"cannot find the role alias {alias}; create it with `aws iot create-role-alias`",
            )
        seconds = min(max(named.seconds, role_aliases.SHORTEST), role_aliases.LONGEST)
        session = self._sessions.issue(role=named.role, thing=device.thing, seconds=seconds)
        began = session.expires - seconds
        self._forget_before(began - MARGIN)
        self._remember(session, request.environ["verge.peer_certificate"], resource)
        ends = dt.datetime.fromtimestamp(session.expires, dt.UTC)
        return answers.document(
            {
                "credentials": {
                    "accessKeyId": session.access_key_id,
                    "secretAccessKey": session.secret_access_key,
                    "sessionToken": session.session_token,
                    "expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            }
        )

    def _remember(self, session: ports.Session, certificate: bytes, alias: str) -> None:
        self._database.execute(
            "INSERT INTO edge_credentials VALUES (?, ?, ?, ?)",
            (session.access_key_id, certificate, alias, session.expires),
        )

    def _forget_before(self, expired: float) -> None:
        self._database.execute("DELETE FROM edge_credentials WHERE expires < ?", (expired,))
