"""Requests that may be repeated: one `clientToken`, one effect (contract 5.2)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from verge.cloud import database
from verge.cloud.greengrass import faults

KEPT = 8 * 3600
"""Seconds that the result of a request that succeeded is repeated."""


class Tokens:
    """Results by operation and `clientToken`; `clock` gives seconds since the epoch."""

    def __init__(
        self, *, database: database.Database, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._clock = clock
        self._running: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @contextmanager
    def claim(self, operation: str, token: str) -> Iterator[dict[str, Any] | None]:
        """Yield the result of an earlier request with the token, or None to carry this one out.

        Raises InProgressFault while another request with the token is carried out.
        """
        claimed = (operation, token)
        with self._lock:
            if claimed in self._running:
                raise faults.InProgressFault(
                    f"a {operation} with the clientToken {token} is being carried out"
                )
            self._running.add(claimed)
        try:
            yield self._recall(operation, token)
        finally:
            with self._lock:
                self._running.discard(claimed)

    def keep(self, operation: str, token: str | None, result: dict[str, Any]) -> None:
        """Remember the result; call it in the transaction that has the effect."""
        if token is None:
            return
        now = self._clock()
        self._database.execute("DELETE FROM greengrass_tokens WHERE expires < ?", (now,))
        self._database.execute(
            "INSERT INTO greengrass_tokens VALUES (?, ?, ?, ?)",
            (operation, token, json.dumps(result), now + KEPT),
        )

    def forget(self, operation: str, token: str | None) -> None:
        """Carry out the next request with the token: the effect of this one was taken back."""
        self._database.execute(
            "DELETE FROM greengrass_tokens WHERE operation = ? AND token = ?", (operation, token)
        )

    def _recall(self, operation: str, token: str) -> dict[str, Any] | None:
        row = self._database.one(
            "SELECT result FROM greengrass_tokens WHERE operation = ? AND token = ?"
            " AND expires >= ?",
            (operation, token, self._clock()),
        )
        if row is None:
            return None
        result: dict[str, Any] = json.loads(row["result"])
        return result
