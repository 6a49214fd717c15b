"""The debug console: a page for people on the device itself, to look and not to touch.

Off unless a port is set. It listens on loopback alone, asks for a debug password and answers:
`/` a page, `/components` and `/logs/<name>` the same as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import msgspec

from verge.nucleus import logs
from verge.nucleus.debug import page
from verge.nucleus.ipc import host

ADDRESS = "127.0.0.1"
LINES = 100
"""The last lines of a log that are shown."""

_TAIL_BYTES = 64 * 1024
_HEAD_BYTES = 16 * 1024
_PATIENCE = 10.0  # s for a client to send its request and to take the answer
_CONNECTIONS = 16
_HEADERS = (
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Connection: close\r\n"
)

log = logs.Logger("console")


class Verifier(Protocol):
    """What passwords are asked of."""

    def verify(self, user: str, password: str) -> bool:
        """Return whether the password is the user's."""


@dataclass(frozen=True)
class Answer:
    """An answer of HTTP."""

    status: HTTPStatus
    body: bytes
    kind: str = "application/json"
    more: str = ""


class Console:
    """Answers requests about the components of one nucleus."""

    def __init__(
        self, components: host.Components, passwords: Verifier, directory: Path, thing: str
    ) -> None:
        self._components = components
        self._passwords = passwords
        self._logs = directory
        self._thing = thing
        self._connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close the connection."""
        self._connections += 1
        try:
            if self._connections <= _CONNECTIONS:
                async with asyncio.timeout(_PATIENCE):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_render(self._answer(head)))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # such a client gets no answer
        finally:
            self._connections -= 1
            writer.close()

    def _answer(self, head: bytes) -> Answer:
        method, path, fields = _parse(head)
        if fields.get("host", "").rpartition(":")[0] not in {"localhost", ADDRESS}:
            # Else any web site that names itself after this address could read along.
            return _refusal(HTTPStatus.MISDIRECTED_REQUEST, "open it as localhost")
        if not self._passwords.verify(*_credentials(fields.get("authorization", ""))):
            return _refusal(
                HTTPStatus.UNAUTHORIZED,
                "verge-nucleus get-debug-password gives a password",
                'WWW-Authenticate: Basic realm="Greengrass", charset="UTF-8"\r\n',
            )
        if method != "GET":
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this page only shows", "Allow: GET\r\n")
        return self._show(path)

    def _show(self, path: str) -> Answer:
        place, _, name = path.removeprefix("/").partition("/")
        if place == "" and not name:
            text = page.render(self._thing, self._listed(), self._lines)
            return Answer(HTTPStatus.OK, text.encode(), "text/html; charset=utf-8")
        if place == "components" and not name:
            return _document({"components": self._listed()})
        if place == "logs" and name in {each["name"] for each in self._listed()}:
            return _document({"name": name, "lines": self._lines(name)})
        return _refusal(HTTPStatus.NOT_FOUND, "there are /, /components and /logs/<component>")

    def _listed(self) -> list[dict[str, str]]:
        return [
            {
                "name": one.name,
                "version": one.version,
                "state": one.state,
                "reason": one.status_reason,
            }
            for one in self._components.list()
        ]

    def _lines(self, name: str) -> list[str]:
        file = self._logs / f"{'greengrass' if name == page.NUCLEUS else name}.log"
        try:
            with file.open("rb") as opened:
                opened.seek(max(0, file.stat().st_size - _TAIL_BYTES))
                text = opened.read(_TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return []
        return text.splitlines()[-LINES:]


@contextlib.asynccontextmanager
async def serve(port: int, console: Console) -> AsyncIterator[None]:
    """Serve the console on a port of loopback until left. Raises OSError if it is in use."""
    server = await asyncio.start_server(console.serve, ADDRESS, port, limit=_HEAD_BYTES)
    log.info("Console serves", address=f"http://localhost:{port}/")
    try:
        yield
    finally:
        server.close()


def _parse(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, rest = first.partition(" ")
    fields = (line.partition(":") for line in lines)
    return method, rest.partition(" ")[0], {k.strip().lower(): v.strip() for k, _, v in fields}


def _credentials(text: str) -> tuple[str, str]:
    scheme, _, encoded = text.partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        given = ""
    user, _, password = given.partition(":")
    return (user, password) if scheme.lower() == "basic" else ("", "")


def _document(content: dict[str, Any]) -> Answer:
    return Answer(HTTPStatus.OK, msgspec.json.encode(content))


def _refusal(status: HTTPStatus, reason: str, more: str = "") -> Answer:
    return Answer(status, msgspec.json.encode({"message": reason}), more=more)


def _render(answer: Answer) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: {answer.kind}\r\nContent-Length: {len(answer.body)}\r\n"
        f"{_HEADERS}{answer.more}\r\n"
    )
    return head.encode("latin-1") + answer.body
