"""Passwords for the debug console, valid for eight hours (Greengrass contract 3.9, 4.8)."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable

from verge.nucleus.ipc import host
from verge.nucleus.store import database

USER = "debug"
LIFETIME = 8 * 3600.0
"""Seconds that a password is valid."""

MOST = 32
"""Passwords that are valid at the same time; the one that expires first makes way."""

_TABLE = """
CREATE TABLE IF NOT EXISTS debug_passwords (
    hash BLOB PRIMARY KEY, expires REAL NOT NULL
) WITHOUT ROWID
"""


class DebugPasswords:
    """Implements `host.DebugPasswords`. Only hashes are kept; they outlive a restart."""

    def __init__(self, db: database.Database, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._clock = clock
        db.execute(_TABLE)

    async def create(self) -> host.DebugPassword:
        """Return a new password, once it is on disk."""
        password = secrets.token_urlsafe(32)
        expires = self._clock() + LIFETIME
        await self._db.commits.write(lambda: self._store(password, expires))
        return host.DebugPassword(USER, password, expires)

    def verify(self, user: str, password: str) -> bool:
        """Return whether that is the user and a password that is still valid."""
        rows = self._db.rows("SELECT hash FROM debug_passwords WHERE expires > ?", self._clock())
        given = _hash(password)
        # Every hash is compared in full, so the time taken tells nothing of any.
        known = [secrets.compare_digest(given, kept) for (kept,) in rows]
        return any(known) and secrets.compare_digest(user.encode(), USER.encode())

    def _store(self, password: str, expires: float) -> None:
        self._db.execute("DELETE FROM debug_passwords WHERE expires <= ?", self._clock())
        self._db.execute(
            "DELETE FROM debug_passwords WHERE hash NOT IN "
            "(SELECT hash FROM debug_passwords ORDER BY expires DESC LIMIT ?)",
            MOST - 1,
        )
        self._db.execute("INSERT INTO debug_passwords VALUES (?, ?)", _hash(password), expires)


def _hash(password: str) -> bytes:
    # A password has 256 random bits, so no slow hash is needed to keep it from being guessed.
    return hashlib.sha256(password.encode()).digest()
