"""The debug console, over its socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import ipc_host
from verge.nucleus.debug import console

PRESS = "com.example.Press"
GIVEN = "secret:ß"


class Passwords:
    """Knows one password."""

    def verify(self, user: str, password: str) -> bool:
        return (user, password) == ("debug", GIVEN)


@dataclass(frozen=True)
class Served:
    """A console that listens."""

    port: int
    logs: Path

    async def raw(self, request: bytes) -> bytes:
        """Send bytes and return all that comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def get(
        self, path: str, given: str = GIVEN, host: str = "localhost", method: str = "GET"
    ) -> tuple[int, str, bytes]:
        """Return status, head and body."""
        credentials = base64.b64encode(f"debug:{given}".encode()).decode()
        answer = await self.raw(
            f"{method} {path} HTTP/1.1\r\nHost: {host}:{self.port}\r\n"
            f"Authorization: Basic {credentials}\r\n\r\n".encode()
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode(), body


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    nucleus = ipc_host.MemoryHost()
    nucleus.install(PRESS, version="1.2.0", state="BROKEN")
    (tmp_path / f"{PRESS}.log").write_text("".join(f"<line {n}>\n" for n in range(200)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shown = console.Console(nucleus.components, Passwords(), tmp_path, "press-01")
    async with console.serve(port, shown):
        yield Served(port, tmp_path)


async def test_page(served: Served) -> None:
    """The page shows components, states and the last lines, and nothing of them as HTML."""
    status, head, body = await served.get("/")
    text = body.decode()
    assert status == 200
    assert "text/html" in head
    assert "default-src 'none'" in head
    assert all(word in text for word in (PRESS, "1.2.0", "BROKEN", "press-01", "&lt;line 199&gt;"))
    assert "<line" not in text
    assert "line 99&gt;" not in text


async def test_documents(served: Served) -> None:
    """The same is there as JSON."""
    listed = json.loads((await served.get("/components"))[2])
    assert listed == {
        "components": [{"name": PRESS, "version": "1.2.0", "state": "BROKEN", "reason": ""}]
    }
    shown = json.loads((await served.get(f"/logs/{PRESS}"))[2])
    assert shown["lines"] == [f"<line {n}>" for n in range(100, 200)]


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        pytest.param("/", {"given": "wrong"}, 401, id="wrong password"),
        pytest.param("/nothing", {"given": "wrong"}, 401, id="nothing without a password"),
        pytest.param("/nothing", {}, 404, id="unknown"),
        pytest.param("/logs/../config/nucleus", {}, 404, id="other file"),
        pytest.param("/logs/com.example.Ghost", {}, 404, id="other component"),
        pytest.param("/", {"method": "POST"}, 405, id="post"),
        pytest.param("/", {"host": "evil.example"}, 421, id="other host"),
    ],
)
async def test_refusals(served: Served, path: str, more: dict[str, Any], status: int) -> None:
    """Who has no password sees nothing; nothing but the page and its parts is there."""
    found, head, body = await served.get(path, **more)
    assert found == status
    assert ("WWW-Authenticate: Basic" in head) is (status == 401)
    assert PRESS.encode() not in body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\xff\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost:1\r\nAuthorization: Basic ?\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost:1\r\nAuthorization: Basic /w==\r\n\r\n",
    ],
)
async def test_garbage(served: Served, request_bytes: bytes) -> None:
    """What cannot be read is refused, and the console goes on."""
    assert (await served.raw(request_bytes)).split()[1] in {b"401", b"421"}
    assert (await served.get("/"))[0] == 200


async def test_endless_head(served: Served) -> None:
    """A head that is too long gets no answer."""
    with contextlib.suppress(ConnectionError):  # it may be cut while still sending
        assert await served.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000) == b""
    assert (await served.get("/"))[0] == 200


async def test_too_many_at_once(served: Served) -> None:
    """Clients that say nothing hold a few places; when they go, others get in."""
    idle = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(20)]
    reader, _ = idle[-1]
    assert await reader.read() == b""
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()
    while True:
        try:
            assert (await served.get("/"))[0] == 200
        except (IndexError, ConnectionError):
            continue
        break
