"""Credentials that devices were given for the role behind a role alias."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable

from verge.cloud import database, ports

SCHEMA = """
CREATE TABLE IF NOT EXISTS aws_session (
    access_key_id TEXT PRIMARY KEY,
    secret_access_key TEXT NOT NULL,
    session_token TEXT NOT NULL,
    role TEXT NOT NULL,
    thing TEXT NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS aws_session_expires ON aws_session (expires);
"""

_ID_ALPHABET = string.ascii_uppercase + string.digits


class Sessions:
    """Implements `ports.Sessions`.

    They are kept here and not in moto: a device takes new ones every hour, and the journal would
    grow by each.
    """

    def __init__(
        self, *, database: database.Database, now: Callable[[], float] = time.time
    ) -> None:
        self._rows = database
        self._now = now

    def issue(self, *, role: str, thing: str, seconds: int) -> ports.Session:
        """Make credentials for the thing in a role (ARN)."""
        session = ports.Session(
            access_key_id="ASIA" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(16)),
            secret_access_key=secrets.token_urlsafe(30),
            session_token=secrets.token_urlsafe(192),
            role=role,
            thing=thing,
            expires=self._now() + seconds,
        )
        with self._rows.transaction():
            self._rows.execute("DELETE FROM aws_session WHERE expires < ?", (self._now(),))
            self._rows.execute(
                "INSERT INTO aws_session VALUES (?, ?, ?, ?, ?, ?)",
                (
                    session.access_key_id,
                    session.secret_access_key,
                    session.session_token,
                    session.role,
                    session.thing,
                    session.expires,
                ),
            )
        return session

    def find(self, access_key_id: str) -> ports.Session | None:
        """Return the session of an access key; None if there is none or it has expired."""
        row = self._rows.one(
            "SELECT * FROM aws_session WHERE access_key_id = ? AND expires > ?",
            (access_key_id, self._now()),
        )
        return None if row is None else ports.Session(**dict(row))
