"""Whose access key it is, and the secret that goes with it."""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from verge.cloud import database, ports
from verge.cloud.aws import backend

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects_key (
    access_key_id TEXT PRIMARY KEY,
    secret_access_key TEXT NOT NULL
) WITHOUT ROWID;
"""


class Key(NamedTuple):
    """A key whose secret is known here."""

    secret: str
    token: str | None = None
    role: str | None = None
    """The role (ARN) whose policies decide."""
    thing: str | None = None
    own: bool = False
    """The local cloud's own key: whatever it signed is allowed."""


class Keys:
    """Finds keys: our own, those of devices, and those that IAM and STS handed out."""

    def __init__(
        self, *, rows: database.Database, sessions: ports.Sessions, backend: backend.Backend
    ) -> None:
        self._rows = rows
        self._sessions = sessions
        self._backend = backend

    def own(self) -> tuple[str, str]:
        """Return id and secret of our own key; it is made once per state directory."""
        with self._rows.transaction():
            row = self._rows.one("SELECT * FROM objects_key")
            if row is None:
                made = ("AKIAVERGE" + secrets.token_hex(6).upper()[:11], secrets.token_urlsafe(30))
                self._rows.execute("INSERT INTO objects_key VALUES (?, ?)", made)
                return made
            return row["access_key_id"], row["secret_access_key"]

    def find(self, access_key_id: str) -> Key | None:
        """Return a key, or None if nothing here knows it."""
        name, secret = self.own()
        if access_key_id == name:
            return Key(secret, own=True)
        session = self._sessions.find(access_key_id)
        if session is not None:
            return Key(
                session.secret_access_key,
                token=session.session_token,
                role=session.role,
                thing=session.thing,
            )
        return self._of_role(access_key_id) or self._of_user(access_key_id)

    def _of_role(self, access_key_id: str) -> Key | None:
        with self._backend.service("sts", "aws") as sts:
            for role in sts.assumed_roles:
                if role.access_key_id == access_key_id:
                    return Key(role.secret_access_key, token=role.session_token, role=role.role_arn)
        return None

    def _of_user(self, access_key_id: str) -> Key | None:
        with self._backend.service("iam", "aws") as iam:
            users: Any = iam.users.values()
            for user in users:
                for key in user.access_keys:
                    if key.access_key_id == access_key_id and key.status == "Active":
                        return Key(key.secret_access_key)
        return None
