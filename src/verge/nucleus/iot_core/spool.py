"""Messages to AWS IoT Core that wait for the link, on disk and bounded.

A message is on disk when its publisher gets its answer. When the spool is full, the oldest
messages of QoS 0 make way; if there are none, a further message is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import msgspec

from verge.nucleus import errors, logs, settings
from verge.nucleus.store import database

OVERHEAD_BYTES = 64
"""What a message counts beside its content, so that empty ones are bounded, too."""

_PROPERTY_OVERHEAD_BYTES = 5
"""What a property of the user takes beside its texts."""

_TABLE = """
CREATE TABLE IF NOT EXISTS spool (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    qos INTEGER NOT NULL, size INTEGER NOT NULL, expires REAL, message BLOB NOT NULL
)
"""

log = logs.Logger("spool")


class UserProperty(msgspec.Struct, frozen=True):
    """A property of MQTT 5."""

    key: str
    value: str


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An MQTT message in the shape of Greengrass's `MQTTMessage`."""

    topic_name: str
    payload: bytes
    retain: bool = False
    user_properties: list[UserProperty] = []
    message_expiry_interval_seconds: int | None = None
    correlation_data: bytes | None = None
    response_topic: str | None = None
    payload_format: Literal["0", "1"] | None = None
    content_type: str | None = None

    @property
    def size(self) -> int:
        """How much of the spool it takes."""
        content = len(self.payload) + len(self.topic_name) + self.property_bytes
        return content + OVERHEAD_BYTES

    @property
    def property_bytes(self) -> int:
        """How long its properties are together."""
        texts = [self.response_topic or "", self.content_type or ""]
        for each in self.user_properties:
            texts += [each.key, each.value]
        size = sum(len(text.encode()) for text in texts) + len(self.correlation_data or b"")
        return size + _PROPERTY_OVERHEAD_BYTES * len(self.user_properties)


class Spooled(msgspec.Struct, frozen=True):
    """A message that waits; `number` tells it from all others and grows."""

    number: int
    qos: int
    size: int
    """How much of the spool it takes."""
    message: Message


class SpoolFullError(errors.NucleusError):
    """No message that may be lost is left to make way for a further one."""


class Spool:
    """The queue. `put` is for publishers, the rest for the link."""

    def __init__(
        self,
        db: database.Database,
        limit: int = settings.SPOOL_LIMIT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._limit = limit
        self._clock = clock
        self.dropped = 0
        """Messages of QoS 0 that had to make way."""
        self.changed: Callable[[], None] = lambda: None
        """Called when messages have come."""
        db.execute(_TABLE)
        ((used,),) = db.rows("SELECT total(size) FROM spool")
        self._used = int(used)

    @property
    def used(self) -> int:
        """Bytes that wait."""
        return self._used

    async def put(self, message: Message, qos: int) -> None:
        """Return when the message is on disk. Raises SpoolFullError or StoreError."""
        try:
            await self._db.commits.write(lambda: self._store(message, qos))
        except errors.StoreError:
            self._count()
            raise
        self.changed()

    def oldest(self, most: int, after: int = 0) -> Sequence[Spooled]:
        """Return the first messages behind a number in the order in which they came.

        Expired ones go.
        """
        now = self._clock()
        rows = self._rows_behind(after, most)
        if any(expires is not None and expires <= now for _, _, _, expires, _ in rows):
            with self._db.transaction(synced=False):
                self._db.execute("DELETE FROM spool WHERE expires <= ?", now)
            self._count()
            rows = self._rows_behind(after, most)
        return [
            Spooled(number, qos, size, msgspec.json.decode(text, type=Message))
            for number, qos, size, _, text in rows
        ]

    def remove(self, delivered: Collection[Spooled]) -> None:
        """Forget messages that have been delivered; after a power cut some may be sent again."""
        if not delivered:
            return
        freed = 0
        with self._db.transaction(synced=False):
            for each in delivered:
                # One of QoS 0 may have made way meanwhile.
                freed += each.size * self._db.execute(
                    "DELETE FROM spool WHERE number = ?", each.number
                )
        self._used -= freed

    def _rows_behind(self, number: int, most: int) -> list[tuple[Any, ...]]:
        return self._db.rows(
            "SELECT number, qos, size, expires, message FROM spool "
            "WHERE number > ? ORDER BY number LIMIT ?",
            number,
            most,
        )

    def _store(self, message: Message, qos: int) -> None:
        if self._used + message.size > self._limit and not self._make_room(message.size):
            raise SpoolFullError(
                f"cannot queue the message: {self._used} of {self._limit} bytes wait for AWS IoT "
                "Core already; connect the device or publish less"
            )
        expiry = message.message_expiry_interval_seconds
        self._db.execute(
            "INSERT INTO spool (qos, size, expires, message) VALUES (?, ?, ?, ?)",
            qos,
            message.size,
            None if expiry is None else self._clock() + expiry,
            msgspec.json.encode(message),
        )
        self._used += message.size

    def _make_room(self, size: int) -> bool:
        rows = self._db.rows("SELECT number, size FROM spool WHERE qos = 0 ORDER BY number")
        going: list[int] = []
        free = self._limit - self._used
        for number, freed in rows:
            if free >= size:
                break
            going.append(number)
            free += freed
        if free < size:
            return False
        for number in going:
            self._db.execute("DELETE FROM spool WHERE number = ?", number)
        self._used = self._limit - free
        if not self.dropped:
            log.warning("Messages of QoS 0 dropped, the spool is full", limit=self._limit)
        self.dropped += len(going)
        return True

    def _count(self) -> None:
        ((used,),) = self._db.rows("SELECT total(size) FROM spool")
        self._used = int(used)
