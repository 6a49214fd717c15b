"""A client of frames, for what the SDKs cannot send."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any, Self

from verge.nucleus.ipc import framing, rpc, sockets

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = pathlib.Path(__file__).parent / "frames"


def captured(name: str) -> bytes:
    """Return the bytes of a captured frame (contract 4.7)."""
    return bytes.fromhex("".join((FRAMES / f"{name}.hex").read_text().split()))


def reserved(kind: int, flags: int, stream: int) -> list[framing.Header]:
    """Return the headers that every message has."""
    return [
        framing.int32(":message-type", kind),
        framing.int32(":message-flags", flags),
        framing.int32(":stream-id", stream),
    ]


def connect_frame(token: str, version: str = "0.1.0", payload: bytes | None = None) -> bytes:
    """Return a CONNECT."""
    headers = [framing.string(":version", version), *reserved(4, 0, 0)]
    body = json.dumps({"authToken": token}).encode() if payload is None else payload
    return framing.encode(headers, body)


def request_frame(
    stream: int, operation: str | None, request: Any = None, *, flags: int = 0
) -> bytes:
    """Return an application message; a request that is bytes is sent as it is."""
    headers = reserved(0, flags, stream)
    if operation is not None:
        name = operation if "#" in operation else f"aws.greengrass#{operation}"
        headers += [
            framing.string(":content-type", "application/json"),
            framing.string("service-model-type", f"{name}Request"),
            framing.string("operation", name),
        ]
    if request is None:
        payload = b"" if operation is None else b"{}"
    else:
        payload = request if isinstance(request, bytes) else json.dumps(request).encode()
    return framing.encode(headers, payload)


class RawClient:
    """A socket that speaks frames."""

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self.socket = sockets.connect(path, timeout)
        self._decoder = framing.Decoder()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> framing.Message:
        """Return the next message; EOFError if the server closed."""
        while (frame := self._decoder.next_frame()) is None:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._decoder.feed(data)
        return framing.decode_frame(frame)

    def shake_hands(self, token: str) -> Self:
        """Connect; the server must accept."""
        self.send(connect_frame(token))
        answer = self.receive()
        assert answer.get(":message-type") == rpc.MessageType.CONNECT_ACK
        assert answer.get(":message-flags") == 1
        return self

    def call(self, stream: int, operation: str, request: Any = None) -> tuple[str, Any]:
        """Send a request and return the shape and the content of the answer."""
        self.send(request_frame(stream, operation, request))
        answer = self.receive()
        assert answer.get(":stream-id") == stream
        return shape(answer), json.loads(answer.payload)

    def is_closed(self) -> bool:
        """Read on until the server closes."""
        try:
            while True:
                self.receive()
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False


def shape(message: framing.Message) -> str:
    """Return the model's name without its prefix."""
    return str(message.get("service-model-type")).removeprefix("aws.greengrass#")


def content(message: framing.Message) -> Any:
    """Return the JSON of a message."""
    return json.loads(message.payload)
