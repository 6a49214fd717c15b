"""Streams of a connection that stay open: subscriptions (Greengrass contract 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verge.nucleus.ipc import framing, rpc

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from verge.nucleus.ipc import connection, principals


class Stream:
    """One subscription of a client; events go out until one side ends it."""

    __slots__ = ("_headers", "_member", "_number", "_on_close")

    def __init__(self, member: connection.Connection, number: int, event: rpc.Template) -> None:
        self._member = member
        self._number = number
        self._headers = event.headers(number)
        self._on_close: Callable[[], None] | None = None

    @property
    def principal(self) -> principals.Principal:
        """Who subscribed."""
        return self._member.principal

    def send(self, payload: bytes) -> None:
        """Send an event, its JSON as bytes, or drop it if the client is too slow."""
        self._member.send_event(rpc.seal(self._headers, payload))

    def open(self, on_close: Callable[[], None]) -> None:
        """Begin: `on_close` is called once, when the client ends the stream or goes."""
        self._on_close = on_close
        self._member.streams[self._number] = self
        self.principal.streams += 1

    def closed(self) -> None:
        """Take note of the end."""
        self.principal.streams -= 1
        if self._on_close is not None:
            self._on_close()
            self._on_close = None


def fits(payload: Sized) -> bool:
    """Return whether an event with that payload is a message that clients accept."""
    return len(payload) <= framing.MAX_MESSAGE_BYTES - 1024  # headers have about 160 bytes
