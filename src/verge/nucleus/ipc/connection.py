"""One connection: handshake, streams and their messages (Greengrass contract 4.4, 4.5)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from verge.nucleus.ipc import dispatch, framing, memory, outbox, rpc, streams

if TYPE_CHECKING:
    from verge.nucleus.ipc import principals, server

_ACCEPTED = rpc.Template(rpc.MessageType.CONNECT_ACK, rpc.Flag.CONNECTION_ACCEPTED).message(0, b"")
_REFUSED = rpc.Template(rpc.MessageType.CONNECT_ACK).message(0, b"")
_PROTOCOL_ERROR = rpc.Template(rpc.MessageType.PROTOCOL_ERROR)
_SHORT_READ_BYTES = 16 * 1024  # of a long message at once, since others wait meanwhile
_UNREAD_BYTES = 64 * 1024  # so many beyond the kernel's buffer mean that the client does not read

logger = logging.getLogger(__name__)


class _Greeting(msgspec.Struct):
    """The payload of a CONNECT message."""

    auth_token: str = msgspec.field(name="authToken", default="")


_greetings = msgspec.json.Decoder(_Greeting)


class Connection(asyncio.BufferedProtocol):
    """One client. All that it can take up is bounded by `limits.Limits`."""

    def __init__(self, owner: server.Server) -> None:
        self.owner = owner
        self.principal: principals.Principal = owner.strangers
        self.waiting = False
        """Whether requests have arrived that wait for their turn."""
        self.streams: dict[int, streams.Stream] = {}
        self.dropped = 0
        """Events that this client was too slow to get."""
        self._last_stream = 0
        self._running = 0
        self._arriving = 0
        self._queued = 0
        self._blocked = self._paused = self._unsent = self._closing = False
        self._authenticated = False
        self._decoder = framing.Decoder(owner.limits.greeting)
        self._envelopes = rpc.EnvelopeReader()
        self._outbox = outbox.Outbox(owner.limits)
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake, or refuse a client that is one too many."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"internal error: {transport!r} is no stream")
        self._transport = transport
        self._outbox.attach(transport)
        transport.set_write_buffer_limits(high=_UNREAD_BYTES)
        if not self.owner.admit(self):
            transport.abort()
            return
        self._deadline = self.owner.loop.call_later(self.owner.limits.handshake, self.abort)

    def connection_lost(self, _error: Exception | None) -> None:
        """End all streams and give back what the client took."""
        self._transport = None
        if self._deadline is not None:
            self._deadline.cancel()
        self._outbox.clear()
        self._count_queued()
        self._count_arriving(0)
        while self.streams:
            self.streams.popitem()[1].closed()
        self.owner.release(self)

    def get_buffer(self, _hint: int) -> memoryview:
        """Return the buffer that all connections share: it is emptied before the next one reads."""
        if self._decoder.expected_bytes >= memory.LONG:
            return self.owner.read_buffer[:_SHORT_READ_BYTES]
        return self.owner.read_buffer

    def buffer_updated(self, size: int) -> None:
        """Take bytes that have arrived."""
        if self._closing:
            return
        self._decoder.feed(bytes(self.owner.read_buffer[:size]))
        self.owner.turns.arrived(self)

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self._outbox.stall()

    def resume_writing(self) -> None:
        """Send what has waited."""
        self._outbox.drain()
        self.flush()

    # The side of turns.

    def serve_turn(self) -> bool:
        """Serve one turn's messages and return whether more wait."""
        try:
            for _ in range(self.owner.limits.turn):
                if self._blocked or self._closing or self._transport is None:
                    return False
                frame = self._decoder.next_frame()
                if frame is None:
                    self._check_arriving()
                    return False
                if self._arriving:
                    self._count_arriving(0)
                size = len(frame.payload)
                self._take(frame)
                if size >= memory.LONG:
                    seconds = size / self.owner.limits.long_bytes_per_second
                    self.owner.turns.rest(self.principal, seconds)
                    break
        except (framing.FrameError, rpc.ProtocolError) as error:
            self._refuse(_PROTOCOL_ERROR.message(0, _reason(str(error))), str(error))
            return False
        return self._decoder.pending_bytes >= framing.OVERHEAD_BYTES

    def read_or_pause(self) -> None:
        """Read on unless requests wait."""
        pause = self.waiting or self._blocked
        if pause is not self._paused and self._transport is not None:
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            elif not self._transport.is_closing():
                self._transport.resume_reading()

    def flush(self) -> None:
        """Send what is queued, as far as the client reads."""
        self._unsent = False
        self._outbox.flush()
        self._count_queued()
        self._block_or_wake()

    # The side of streams and calls.

    def send(self, message: bytes) -> None:
        """Queue a message."""
        self._outbox.put(message)
        if not self._unsent:
            self._unsent = True
            self.owner.turns.has_unsent(self)

    def send_event(self, message: bytes) -> None:
        """Queue an event, or drop it if the client is too slow."""
        if self._outbox.takes_event(len(message), self.principal):
            self.send(message)
            if self._outbox.stalled or len(message) >= self.owner.limits.counted_at_once:
                self._count_queued()
            return
        self.dropped += 1
        self.owner.note_drop(self)

    def call_started(self) -> None:
        """Count a call that takes time; too many block further requests."""
        self._running += 1
        self._block_or_wake()

    def call_finished(self) -> None:
        """Count it out."""
        self._running -= 1
        self._block_or_wake()

    def close_stream(self, number: int) -> None:
        """Forget a stream that has ended."""
        stream = self.streams.pop(number, None)
        if stream is not None:
            stream.closed()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    # Messages.

    def _take(self, frame: framing.Frame) -> None:
        envelope, number = self._envelopes.read(frame.headers)
        if not self._authenticated:
            self._greet(envelope, number, frame.payload)
        elif envelope.type == rpc.MessageType.APPLICATION_MESSAGE:
            self._take_application_message(envelope, number, frame.payload)
        elif number != 0:
            raise rpc.ProtocolError(f"message type {envelope.type} on stream {number}")
        elif envelope.type == rpc.MessageType.PING:
            self.send(_pong(frame))
        elif envelope.type == rpc.MessageType.PROTOCOL_ERROR:
            self.abort()
        elif envelope.type != rpc.MessageType.PING_RESPONSE:
            raise rpc.ProtocolError(f"message type {envelope.type} is not for the server")

    def _take_application_message(
        self, envelope: rpc.Envelope, number: int, payload: framing.Payload
    ) -> None:
        ends = envelope.flags & rpc.Flag.TERMINATE_STREAM
        if number > self._last_stream:
            if envelope.operation is None:
                raise rpc.ProtocolError(f"stream {number} starts without an operation")
            self._last_stream = number
            if not ends:  # a stream that ends with its first message is not served (4.5)
                dispatch.serve(self, number, envelope.operation, payload)
        elif number < 1:
            raise rpc.ProtocolError(f"application message on stream {number}")
        elif ends:
            self.close_stream(number)
        # Else it continues an open stream, which no operation knows, or raced with its end.

    def _greet(self, envelope: rpc.Envelope, number: int, payload: framing.Payload) -> None:
        if envelope.type != rpc.MessageType.CONNECT or number != 0:
            raise rpc.ProtocolError("the first message must be CONNECT on stream 0")
        name = self._identify(envelope, payload)
        if name is None or not self.owner.join(self, name):
            self._refuse(_REFUSED, "the handshake was refused")
            return
        self._authenticated = True
        self._decoder.limit = self.owner.limits.message
        if self._deadline is not None:
            self._deadline.cancel()
        self.send(_ACCEPTED)

    def _identify(self, envelope: rpc.Envelope, payload: framing.Payload) -> str | None:
        if envelope.version != rpc.PROTOCOL_VERSION:
            return None
        try:
            token = _greetings.decode(payload).auth_token
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return self.owner.host.components.component_of_token(token) if token else None

    def _refuse(self, message: bytes, reason: str) -> None:
        self.owner.note_refusal(self, reason)
        self._closing = True
        self.send(message)
        if self._deadline is not None:
            self._deadline.cancel()
        # The AWS clients may see an end of the connection before the message that explains it,
        # so they are left the time to read it and to close.
        self._deadline = self.owner.loop.call_later(self.owner.limits.farewell, self.abort)

    # Bounds.

    def _block_or_wake(self) -> None:
        most = self.owner.limits
        blocked = self._running >= most.running_calls or (
            self._outbox.stalled and self._outbox.bytes > most.unread_answers
        )
        if blocked is self._blocked:
            return
        self._blocked = blocked
        if not blocked and self._decoder.pending_bytes:
            self.owner.turns.wake(self)
        self.read_or_pause()

    def _count_queued(self) -> None:
        queued = self._outbox.bytes
        self.principal.queued += queued - self._queued
        self._queued = queued

    def _check_arriving(self) -> None:
        if self._decoder.expected_bytes >= memory.LONG:
            memory.return_long_blocks()
        if self._decoder.expected_bytes or self._arriving:
            self._count_arriving(self._decoder.pending_bytes)
            if self.principal.arriving > self.owner.limits.principal_arriving:
                raise rpc.ProtocolError("too many long messages arrive at the same time")

    def _count_arriving(self, size: int) -> None:
        self.principal.arriving += size - self._arriving
        self._arriving = size


def _reason(text: str) -> bytes:
    return msgspec.json.encode({"message": text})


def _pong(frame: framing.Frame) -> bytes:
    """Return the answer to a PING: its payload and its own headers (contract 4.5)."""
    echoed = [
        header
        for header, _ in framing.decode_headers(frame.headers)
        if header.name.lower() not in rpc.RESERVED
    ]
    answer = rpc.Template(rpc.MessageType.PING_RESPONSE).headers(0)
    return rpc.seal(answer + framing.encode_headers(echoed), frame.payload)
