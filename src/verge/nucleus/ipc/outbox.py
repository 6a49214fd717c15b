"""What waits to be sent on one connection."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from verge.nucleus.ipc import limits, principals

_WRITE_BYTES = 256 * 1024  # at most so much leaves our hands, and our count, at once


class Outbox:
    """Messages of one connection that are not handed to the transport yet.

    Answers are always taken: their number is bounded because requests wait while too many are
    unread. Events are taken within the limits and dropped beyond them.
    """

    def __init__(self, most: limits.Limits) -> None:
        self._most = most
        self._messages: collections.deque[bytes | memoryview] = collections.deque()
        self._transport: asyncio.Transport | None = None
        self._in_transport = 0
        self.bytes = 0
        """Bytes that wait here and in the transport."""
        self.stalled = False
        """Whether the client has stopped reading."""

    def attach(self, transport: asyncio.Transport) -> None:
        """Send through this transport from now on."""
        self._transport = transport

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: bytes) -> None:
        """Take a message."""
        self._messages.append(message)
        self.bytes += len(message)

    def takes_event(self, size: int, principal: principals.Principal) -> bool:
        """Return whether an event of that size fits."""
        most = self._most
        if principal.queued + size > most.principal_queued_bytes:
            return False
        if not self.stalled:  # nothing waits but what this turn has queued
            return self.bytes < most.queued_bytes
        return len(self._messages) < most.queued_events and self.bytes + size <= most.queued_bytes

    def stall(self) -> None:
        """Note that the transport takes no more."""
        self.stalled = True
        transport = self._transport
        self._in_transport = transport.get_write_buffer_size() if transport else 0
        self.bytes += self._in_transport

    def drain(self) -> None:
        """Note that the transport takes more again."""
        self.stalled = False
        self.bytes -= self._in_transport
        self._in_transport = 0

    def flush(self) -> None:
        """Hand over messages until all are gone or the client has stopped reading."""
        if self._transport is None:
            self.clear()  # an answer that came after its client had gone
        messages = self._messages
        while messages and not self.stalled and self._transport is not None:
            chunk = self._next_chunk()
            self.bytes -= len(chunk)
            self._transport.write(chunk)  # calls back to `stall` if the client does not read

    def _next_chunk(self) -> bytes | memoryview:
        messages = self._messages
        first = messages.popleft()
        size = len(first)
        if size > _WRITE_BYTES:
            # What the transport cannot send at once it copies twice.
            view = memoryview(first)
            messages.appendleft(view[_WRITE_BYTES:])
            return view[:_WRITE_BYTES]
        if not messages:
            return first
        taken = [first]
        while messages and size + len(messages[0]) <= _WRITE_BYTES:
            size += len(messages[0])
            taken.append(messages.popleft())
        return b"".join(taken)

    def clear(self) -> None:
        """Forget everything, because the connection is gone."""
        self._messages.clear()
        self._transport = None
        self.bytes = self._in_transport = 0
