"""Sends the messages that wait in the spool, in their order, and forgets what has arrived."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

from verge.nucleus import logs
from verge.nucleus.cloud import errors
from verge.nucleus.errors import StoreError
from verge.nucleus.iot_core import messages, spool

WINDOW = 20
"""Messages that are sent before the first of them is acknowledged."""

PAUSE = 1.0
"""Seconds before a message is sent again that the broker did not take for now."""

FAILURE = 0x80
REFUSED_FOR_GOOD = {
    0x87: "not authorized",
    0x90: "topic name invalid",
    0x95: "packet too large",
    0x99: "payload format invalid",
}
"""Reason codes of MQTT 5 that a message would get again and again."""

STORE_PAUSE = 10.0
"""Seconds before the spool is tried again that a full or broken disk holds up."""

log = logs.Logger("iotcore")


class Publisher(Protocol):
    """The part of a connection that is needed here."""

    async def publish(self, message: spool.Message, qos: int) -> int:
        """Return the broker's reason code. Raises UnreachableError."""


class Pump:
    """Drains a spool while there is a connection."""

    def __init__(self, waiting: spool.Spool) -> None:
        self._spool = waiting
        self._wake = asyncio.Event()
        self._in_flight = 0
        self._sent = 0
        """The number of the last message that was sent over this connection."""
        self._delivered: list[spool.Spooled] = []
        """Messages that the broker has and the spool has yet to forget."""
        self._more = True
        """Whether messages may wait behind the last one that was sent."""
        self._stuck = False
        waiting.changed = self._came

    async def run(self, connection: Publisher) -> None:
        """Send until cancelled. What is not acknowledged is sent again over the next connection."""
        self._in_flight = self._sent = 0
        self._more = True
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._wake.clear()
                    for waiting in self._next():
                        tasks.create_task(self._send(connection, waiting))
                    await self._wake.wait()
        finally:
            with contextlib.suppress(StoreError):
                self._forget()

    def _came(self) -> None:
        self._more = True
        self._wake.set()

    def _next(self) -> Sequence[spool.Spooled]:
        """Forget what was delivered; return what to send now, nothing while the disk fails."""
        try:
            self._forget()
            room = WINDOW - self._in_flight if self._more else 0
            found = self._spool.oldest(room, self._sent) if room > 0 else ()
        except StoreError as error:
            if not self._stuck:
                log.error("Messages wait, the spool cannot be used", reason=error)  # noqa: TRY400
            self._stuck = True
            asyncio.get_running_loop().call_later(STORE_PAUSE, self._wake.set)
            return ()
        self._stuck = False
        if room > 0:
            self._more = len(found) == room
        self._in_flight += len(found)
        if found:
            self._sent = found[-1].number
        return found

    def _forget(self) -> None:
        self._spool.remove(self._delivered)
        self._delivered.clear()

    async def _send(self, connection: Publisher, waiting: spool.Spooled) -> None:
        with contextlib.suppress(errors.UnreachableError):
            if reason := await self._deliver(connection, waiting):
                log.error("Message dropped", topic=waiting.message.topic_name, reason=reason)
            self._in_flight -= 1
            self._delivered.append(waiting)
            self._wake.set()

    async def _deliver(self, connection: Publisher, waiting: spool.Spooled) -> str:
        """Return why the broker will never take a message, nothing once it has taken it."""
        try:
            messages.check(waiting.message)  # an earlier nucleus may have queued it unchecked
        except messages.MessageError as error:
            return str(error)
        while (code := await connection.publish(waiting.message, waiting.qos)) >= FAILURE:
            if reason := REFUSED_FOR_GOOD.get(code):
                return reason
            await asyncio.sleep(PAUSE)
        return ""
