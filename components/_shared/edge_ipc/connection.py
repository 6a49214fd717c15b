"""A connection to the IPC socket: calls, and streams of events (Greengrass contract 4.1 to 4.6).

A thread of its own reads. It hands answers to those who wait for them and calls back with events,
in their order, so a callback must return at once and must not call into this module. What is sent
goes out on the thread of the caller.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_ipc import documents, framing, headers, sockets

if TYPE_CHECKING:
    from collections.abc import Callable

_READ_BYTES = 65536

_log = logging.getLogger(__name__)


class LostError(Exception):
    """There is no connection, or none any more; the text says why."""


class UnansweredError(Exception):
    """No answer came in time."""


class RefusedError(Exception):
    """The nucleus answered with an error."""

    def __init__(self, shape: str | None, message: str) -> None:
        super().__init__(f"{shape}: {message}" if shape and message else shape or message)
        self.shape = shape
        """Such as "UnauthorizedError"; None if the nucleus does not know the operation."""


_Answer = tuple[headers.Envelope, framing.Payload]


@dataclass
class _Exchange:
    """One stream of the connection: a request, its answer, and what comes after it."""

    event: Callable[[Any], None]
    ended: Callable[[], None]
    answer: queue.SimpleQueue[_Answer | LostError] = field(default_factory=queue.SimpleQueue)
    answered: bool = False


class Connection:
    """An accepted connection; any thread but its own may use it."""

    def __init__(self, path: str, token: str, lost: Callable[[str], None], seconds: float) -> None:
        """Connect within so many seconds, which every answer may take, too. Raises LostError.

        `lost(reason)` is called once if the connection ends though nobody closed it.
        """
        self._lost = lost
        self._seconds = seconds
        self._decoder = framing.Decoder()
        self._exchanges: dict[int, _Exchange] = {}
        self._last_stream = 0
        self._gone = ""
        self._sending = threading.Lock()
        """Held while bytes go out, because requests must leave in the order of their numbers."""
        try:
            self._socket = sockets.connect(Path(path), seconds)
        except OSError as error:
            raise LostError(_text(error)) from error
        try:
            self._shake_hands(token)
            sockets.limit_blocking(self._socket, seconds)
            self._socket.settimeout(None)
        except BaseException:
            self._socket.close()
            raise
        self._reader = threading.Thread(target=self._read, name="ipc", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Close the connection; no callback follows."""
        self._gone = self._gone or "it was closed here"
        self._hang_up()
        self._reader.join()
        self._socket.close()

    def call(self, operation: str, request: documents.Document) -> Any:
        """Return the answer to a request. Raises RefusedError, UnansweredError or LostError."""
        stream, exchange = self._open(operation, request, _ignore, _ignore)
        _, payload = self._wait(stream, exchange)
        try:
            return json.loads(payload)
        except ValueError as error:
            raise RefusedError("DeserializeError", f"cannot read the answer: {error}") from error

    def subscribe(
        self,
        operation: str,
        request: documents.Document,
        event: Callable[[Any], None],
        ended: Callable[[], None],
    ) -> int:
        """Open a stream: `event` is called with each event, `ended` if the nucleus ends it.

        Returns its number. Raises as `call`.
        """
        stream, exchange = self._open(operation, request, event, ended)
        envelope, _ = self._wait(stream, exchange)
        if envelope.ends:
            raise RefusedError(None, "the nucleus ended the stream at once")
        return stream

    def unsubscribe(self, stream: int) -> None:
        """End a stream; what is under way is dropped."""
        if self._exchanges.pop(stream, None) is not None:
            self._end(stream)

    def _open(
        self,
        operation: str,
        request: documents.Document,
        event: Callable[[Any], None],
        ended: Callable[[], None],
    ) -> tuple[int, _Exchange]:
        payload = documents.encode(request)
        exchange = _Exchange(event, ended)
        with self._sending:
            if self._gone:
                raise LostError(self._gone)
            self._last_stream = stream = self._last_stream + 1
            self._exchanges[stream] = exchange
            try:
                self._send(headers.request(operation).message(stream, payload))
            except BaseException:
                self._exchanges.pop(stream, None)
                raise
        return stream, exchange

    def _wait(self, stream: int, exchange: _Exchange) -> _Answer:
        try:
            answer = exchange.answer.get(timeout=self._seconds)
        except queue.Empty:
            self.unsubscribe(stream)
            raise UnansweredError(
                f"the nucleus did not answer within {self._seconds:g} s"
            ) from None
        if isinstance(answer, LostError):
            raise answer
        envelope, payload = answer
        if envelope.type != headers.APPLICATION_MESSAGE or envelope.model is None:
            self.unsubscribe(stream)
            raise _refusal(envelope, payload)
        return answer

    def _end(self, stream: int) -> None:
        with contextlib.suppress(LostError), self._sending:  # a lost one has no streams
            self._send(headers.END.message(stream))

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            self._hang_up()  # half a message may be out: nothing can follow it
            raise LostError(f"the nucleus takes nothing: {_text(error)}") from error

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):  # the other side may have been quicker
            self._socket.shutdown(socket.SHUT_RDWR)

    def _shake_hands(self, token: str) -> None:
        greeting = headers.GREETING.message(0, documents.encode({"authToken": token}))
        try:
            self._socket.sendall(greeting)
            while (frame := self._decoder.next_frame()) is None:
                self._feed()
            envelope, _ = headers.read(frame.headers)
        except (OSError, framing.FrameError) as error:
            raise LostError(f"the nucleus does not greet: {_text(error)}") from error
        if not envelope.flags & headers.CONNECTION_ACCEPTED:
            raise LostError("the nucleus refused the token SVCUID")

    def _feed(self) -> None:
        data = self._socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionResetError("it closed the connection")
        self._decoder.feed(data)

    def _read(self) -> None:
        try:
            while True:
                while (frame := self._decoder.next_frame()) is not None:
                    self._take(frame)
                self._feed()
        except (OSError, framing.FrameError) as error:
            self._give_up(_text(error))

    def _give_up(self, reason: str) -> None:
        with self._sending:
            expected, self._gone = bool(self._gone), self._gone or reason
            left = list(self._exchanges.values())
            self._exchanges.clear()
        self._hang_up()
        for exchange in left:
            if not exchange.answered:
                exchange.answer.put(LostError(self._gone))
        if not expected:
            self._lost(reason)

    def _take(self, frame: framing.Frame) -> None:
        envelope, stream = headers.read(frame.headers)
        if envelope.type in headers.FAILURES:
            raise framing.FrameError(bytes(frame.payload).decode(errors="replace"))
        exchange = self._exchanges.get(stream)
        if exchange is None:
            return  # it was ended here, or this is a ping, which no client answers
        if envelope.ends:
            self._exchanges.pop(stream, None)
        if not exchange.answered:
            exchange.answered = True
            exchange.answer.put((envelope, frame.payload))
        else:
            _deliver(exchange, envelope, frame.payload)


def _deliver(exchange: _Exchange, envelope: headers.Envelope, payload: framing.Payload) -> None:
    try:
        if envelope.type != headers.APPLICATION_MESSAGE:
            _log.warning("Stream error reason=%s", _refusal(envelope, payload))
        elif payload:
            exchange.event(json.loads(payload))
        if envelope.ends:
            exchange.ended()
    except Exception:  # noqa: BLE001 - the next event is another one
        _log.exception("Event not taken")


def _refusal(envelope: headers.Envelope, payload: framing.Payload) -> RefusedError:
    """Return the error of an answer; the text is the nucleus's own."""
    try:
        body = json.loads(payload)
        text = str(body.get("message") or body.get("_message") or body.get("error") or "")
    except (ValueError, AttributeError):
        text = bytes(payload).decode(errors="replace")
    shape = None if envelope.model is None else envelope.model.rpartition("#")[2]
    return RefusedError(shape, text or "the nucleus ended the stream without an answer")


def _text(error: Exception) -> str:
    """Return what an error says, without its number."""
    return str(getattr(error, "strerror", None) or error)


def _ignore(*_: Any) -> None:
    """Take an event of a stream that has none."""
