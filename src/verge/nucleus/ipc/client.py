"""A small synchronous client of the IPC socket, for commands on the device itself."""

from __future__ import annotations

import collections
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from verge.nucleus.ipc import framing, rpc, sockets

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Mapping
    from types import TracebackType

CONNECT_TIMEOUT = 10.0  # what the AWS clients wait for the handshake (contract 4.4)
_READ_BYTES = 65536


class IpcError(Exception):
    """An operation failed.

    `error_name` is the error's shape without its prefix, such as "ResourceNotFoundError", or
    "ConnectionError" if the nucleus cannot be reached or is gone.
    """

    def __init__(self, error_name: str, message: str) -> None:
        super().__init__(message)
        self.error_name = error_name
        self.message = message


class IpcConnectionError(IpcError):
    """The nucleus cannot be reached, refused the token or went away."""

    def __init__(self, message: str) -> None:
        super().__init__("ConnectionError", message)


class _Arrived(NamedTuple):
    """One message of a stream."""

    envelope: rpc.Envelope
    payload: framing.Payload


class IpcClient:
    """One connection, used by one thread at a time; a context manager.

    Entering it raises IpcConnectionError if nothing listens at the socket path or the token is
    refused.
    """

    def __init__(self, socket_path: Path | str, auth_token: str) -> None:
        self._path = Path(socket_path)
        self._token = auth_token
        self._socket: socket.socket | None = None
        self._decoder = framing.Decoder()
        self._last_stream = 0
        self._envelopes = rpc.EnvelopeReader()
        self._arrived: dict[int, collections.deque[_Arrived]] = {}

    def __enter__(self) -> Self:
        try:
            self._socket = sockets.connect(self._path, CONNECT_TIMEOUT)
        except OSError as error:
            raise IpcConnectionError(
                f"cannot reach the nucleus at {self._path}: {error.strerror or error}; "
                "is it running?"
            ) from error
        try:
            self._shake_hands()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the nucleus ends its streams."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def call(
        self, operation: str, request: Mapping[str, Any], timeout: float | None = None
    ) -> dict[str, Any]:
        """Call an operation and return its response.

        The operation may come without its prefix `aws.greengrass#`. Raises IpcError if the
        nucleus answers with an error, TimeoutError after `timeout` seconds without an answer.
        """
        stream = self._open(operation, request)
        try:
            return _content(self._next(stream, _deadline(timeout)))
        finally:
            self._arrived.pop(stream, None)

    def subscribe(
        self, operation: str, request: Mapping[str, Any], timeout: float | None = None
    ) -> Generator[dict[str, Any], None, None]:
        """Start a streaming operation, wait for its first response and return its events.

        The iterator ends when the nucleus ends the stream; closing it ends the stream here. It
        raises IpcError if the stream fails, TimeoutError after `timeout` seconds without an event.
        """
        stream = self._open(operation, request)
        _content(self._next(stream, _deadline(timeout)))
        return self._events(stream, timeout)

    def _events(self, stream: int, timeout: float | None) -> Generator[dict[str, Any], None, None]:
        try:
            while True:
                message = self._next(stream, _deadline(timeout))
                if message.payload:
                    yield _content(message)
                if message.envelope.flags & rpc.Flag.TERMINATE_STREAM:
                    return
        finally:
            self._end(stream)

    def _open(self, operation: str, request: Mapping[str, Any]) -> int:
        name = operation if "#" in operation else rpc.NAMESPACE + operation
        self._last_stream += 1
        stream = self._last_stream
        self._arrived[stream] = collections.deque()
        self._send(
            stream,
            rpc.MessageType.APPLICATION_MESSAGE,
            msgspec.json.encode(request),
            framing.string(rpc.CONTENT_TYPE, rpc.JSON),
            framing.string(rpc.MODEL, f"{name}Request"),
            framing.string(rpc.OPERATION, name),
        )
        return stream

    def _end(self, stream: int) -> None:
        self._arrived.pop(stream, None)
        kind, flags = rpc.MessageType.APPLICATION_MESSAGE, rpc.Flag.TERMINATE_STREAM
        with contextlib.suppress(IpcConnectionError):  # a lost connection has no streams
            self._send(stream, kind, flags=flags)

    def _shake_hands(self) -> None:
        self._arrived[0] = collections.deque()
        self._send(
            0,
            rpc.MessageType.CONNECT,
            msgspec.json.encode({"authToken": self._token}),
            framing.string(rpc.VERSION, rpc.PROTOCOL_VERSION),
        )
        answer = self._next(0, _deadline(CONNECT_TIMEOUT))
        if not answer.envelope.flags & rpc.Flag.CONNECTION_ACCEPTED:
            raise IpcConnectionError(f"cannot use {self._path}: the nucleus refused the token")

    def _send(
        self,
        stream: int,
        kind: rpc.MessageType,
        payload: bytes = b"",
        *headers: framing.Header,
        flags: int = 0,
    ) -> None:
        data = framing.encode(
            (
                *headers,
                framing.int32(rpc.MESSAGE_TYPE, kind),
                framing.int32(rpc.MESSAGE_FLAGS, flags),
                framing.int32(rpc.STREAM_ID, stream),
            ),
            payload,
        )
        try:
            connection = self._connected()
            connection.settimeout(CONNECT_TIMEOUT)
            connection.sendall(data)
        except OSError as error:
            raise self._lost(error) from error

    def _next(self, stream: int, deadline: float | None) -> _Arrived:
        arrived = self._arrived[stream]
        while not arrived:
            self._read(deadline)
        return arrived.popleft()

    def _read(self, deadline: float | None) -> None:
        connection = self._connected()
        if deadline is not None:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
        else:
            connection.settimeout(None)
        try:
            data = connection.recv(_READ_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost("the nucleus closed the connection")
        self._decoder.feed(data)
        try:
            while (frame := self._decoder.next_frame()) is not None:
                self._sort(frame)
        except (framing.FrameError, rpc.ProtocolError) as error:
            raise self._lost(error) from error

    def _sort(self, frame: framing.Frame) -> None:
        envelope, stream = self._envelopes.read(frame.headers)
        if envelope.type == rpc.MessageType.PROTOCOL_ERROR:
            reason = frame.payload.decode(errors="replace")
            raise self._lost(f"the nucleus reported a protocol error: {reason}")
        # A stream that was ended here may still have messages on their way.
        arrived = self._arrived.get(stream)
        if arrived is not None:
            arrived.append(_Arrived(envelope, frame.payload))

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise self._lost("the connection is closed")
        return self._socket

    def _lost(self, reason: object) -> IpcConnectionError:
        return IpcConnectionError(f"cannot use {self._path}: {reason}")


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _content(message: _Arrived) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(message.payload, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise IpcError("DeserializeError", f"cannot read the answer: {error}") from error
    if message.envelope.type == rpc.MessageType.APPLICATION_MESSAGE:
        return content
    name = (message.envelope.model or "UnknownError").rpartition("#")[2]
    raise IpcError(name, str(content.get("message") or content.get("_message") or name))
