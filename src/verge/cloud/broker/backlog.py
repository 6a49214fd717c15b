"""What devices sent to the cloud faster than it deals with it.

mosquitto queues for the cloud as for any client, and drops what is too much after it has been
acknowledged. So a device that sends to the cloud while much is waiting is not read for a while.
"""

from __future__ import annotations

import re
import threading

from verge.cloud.broker import topics

LIMIT = 64 * 1024 * 1024
"""Bytes; well below what mosquitto keeps for a client."""
OVERHEAD = 256  # of a message in mosquitto
MAX_REMEMBERED = 8192  # topics


class Backlog:
    """Counts bytes of messages that go to the cloud and that it has dealt with."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting = 0
        self._patterns: list[re.Pattern[str]] = []
        self._wanted: dict[str, bool] = {}

    @property
    def full(self) -> bool:
        """Whether devices have to wait."""
        return self._waiting > self._limit

    def watch(self, topic_filter: str) -> None:
        """Count messages whose topic matches."""
        with self._lock:
            self._patterns.append(topics.pattern(topic_filter))
            self._wanted.clear()

    def came(self, topic: str, size: int) -> bool:
        """Note a message of a device; return whether it is one for the cloud."""
        with self._lock:
            wanted = self._wants(topic)
            if wanted:
                self._waiting += size + OVERHEAD
            return wanted

    def done(self, size: int) -> None:
        """Note that a message has been dealt with."""
        with self._lock:
            self._waiting = max(0, self._waiting - size - OVERHEAD)

    def reset(self) -> None:
        """Note that nothing is waiting, whatever became of what came."""
        with self._lock:
            self._waiting = 0

    def _wants(self, topic: str) -> bool:
        wanted = self._wanted.get(topic)
        if wanted is None:
            if len(self._wanted) >= MAX_REMEMBERED:
                self._wanted.clear()
            wanted = any(each.fullmatch(topic) for each in self._patterns)
            self._wanted[topic] = wanted
        return wanted
