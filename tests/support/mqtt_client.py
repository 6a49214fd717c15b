"""A small MQTT 5 client on asyncio: what a core device needs, light enough for thousands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

PATIENCE = 60.0
KEEP_ALIVE = 60

_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _SUBSCRIBE, _SUBACK, _PING = 1, 2, 3, 4, 8, 9, 12

_T = TypeVar("_T")
Received = Callable[[str, Any], None]
"""Called with topic and payload, JSON if it is that."""


class Mqtt:
    """One connection with a clean session. Everything raises ConnectionError once it is lost."""

    def __init__(self, received: Received) -> None:
        self._received = received
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._waiting: dict[tuple[int, int], asyncio.Future[bytes]] = {}
        self._last = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.lost = asyncio.Event()

    async def connect(self, host: str, port: int, context: ssl.SSLContext, client_id: str) -> None:
        """Connect and be accepted."""
        self._reader, self._writer = await asyncio.open_connection(
            host, port, ssl=context, ssl_handshake_timeout=PATIENCE
        )
        try:
            flags, keep_alive = b"\x02", KEEP_ALIVE.to_bytes(2, "big")
            header = _text("MQTT") + b"\x05" + flags + keep_alive + b"\x00"
            self._send(_CONNECT << 4, header + _text(client_id))
            async with asyncio.timeout(PATIENCE):
                _check_accepted(*await self._packet())
        except BaseException:
            await self._cut()
            raise
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._ping())]

    async def subscribe(self, *filters: str) -> None:
        """Subscribe with QoS 1."""
        wanted = b"".join(_text(each) + b"\x01" for each in filters)
        codes = await self._ask(_SUBSCRIBE << 4 | 2, _SUBACK, b"", b"\x00" + wanted)
        if any(code > 2 for code in codes[-len(filters) :]):
            raise ConnectionError(f"cannot subscribe to {filters}: {codes.hex()}")

    async def publish(self, topic: str, payload: Any) -> None:
        """Publish with QoS 1; return when the broker has it."""
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        answer = await self._ask(_PUBLISH << 4 | 2, _PUBACK, _text(topic), b"\x00" + content)
        if len(answer) > 2 and answer[2] >= 0x80:
            raise ConnectionError(f"cannot publish to {topic}: {answer.hex()}")

    async def unless_lost(self, awaited: Awaitable[_T]) -> _T:
        """Wait for something as long as there is a connection."""
        wanted = asyncio.ensure_future(awaited)
        lost = asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait({wanted, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                raise ConnectionError("the connection is lost")
            return wanted.result()
        finally:
            wanted.cancel()
            lost.cancel()

    async def close(self) -> None:
        """Cut the connection, as power loss does."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lose()
        await self._cut()

    async def _cut(self) -> None:
        """Cut, and wait until the socket is closed: the loop may end soon."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _ask(self, kind: int, answer: int, before: bytes, after: bytes) -> bytes:
        if self.lost.is_set():
            raise ConnectionError("the connection is lost")
        self._last = self._last % 0xFFFF + 1
        number = self._last
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[answer, number] = future
        try:
            self._send(kind, before + number.to_bytes(2, "big") + after)
            async with asyncio.timeout(PATIENCE):
                return await future
        except TimeoutError as error:
            raise ConnectionError("the broker does not answer") from error
        finally:
            self._waiting.pop((answer, number), None)

    def _send(self, kind: int, body: bytes) -> None:
        self._writer.write(bytes([kind]) + _length(len(body)) + body)

    async def _packet(self) -> tuple[int, bytes]:
        kind = (await self._reader.readexactly(1))[0]
        size, shift = 0, 0
        while True:
            digit = (await self._reader.readexactly(1))[0]
            size |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                return kind, await self._reader.readexactly(size)

    async def _read(self) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                self._take(*await self._packet())
        self._lose()

    def _take(self, kind: int, body: bytes) -> None:
        if kind >> 4 == _PUBLISH:
            end = 2 + int.from_bytes(body[:2], "big")
            topic, rest = body[2:end].decode(), body[end:]
            if kind & 6:
                self._send(_PUBACK << 4, rest[:2])
                rest = rest[2:]
            payload = rest[1 + rest[0] :]
            try:
                self._received(topic, json.loads(payload))
            except ValueError:
                self._received(topic, payload)
            return
        future = self._waiting.get((kind >> 4, int.from_bytes(body[:2], "big")))
        if future is not None and not future.done():
            future.set_result(body)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE / 2)
            self._send(_PING << 4, b"")

    def _lose(self) -> None:
        self.lost.set()
        self._writer.transport.abort()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the connection is lost"))


def _check_accepted(kind: int, body: bytes) -> None:
    if kind >> 4 != _CONNACK or body[1] != 0:
        raise ConnectionError(f"refused: {kind:#x} {body.hex()}")


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _length(number: int) -> bytes:
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(digits)
