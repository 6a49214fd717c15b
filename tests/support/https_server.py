"""An HTTPS server that misbehaves as a test asks it to."""

from __future__ import annotations

import contextlib
import http.server
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import certificates


@dataclass
class Answer:
    """What the server says to one request."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes of the body after which it hangs up."""
    hang: bool = False
    """Say nothing until the end of the test."""


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Answers by a function of the test."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, directory: Path, answer: Callable[[Asked], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.certificate, key = certificates.self_signed(directory)
        self.key = key
        self.answer = answer
        self.asked: list[Asked] = []
        self.over = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def handle_error(self, _request: object, _address: object) -> None:
        """Clients that go away are no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def setup(self) -> None:
        self.request.do_handshake()
        super().setup()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): text for name, text in self.headers.items()}
        asked = Asked(self.command, self.path, headers, body)
        self.server.asked.append(asked)
        answer = self.server.answer(asked)
        if answer.hang:
            self.server.over.wait()
            return
        self.send_response(answer.status)
        for name, text in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(answer.body[: answer.cut_after])

    do_GET = do_POST = _serve  # noqa: N815 - names of http.server

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def ranged(content: bytes, asked: Asked, **members: object) -> Answer:
    """Return what S3 says to a GET with or without a range."""
    wanted = asked.headers.get("range", "").removeprefix("bytes=")
    if not wanted:
        return Answer(200, content, **members)  # type: ignore[arg-type]
    first, _, last = wanted.partition("-")
    start, end = int(first), int(last) + 1 if last else len(content)
    if start >= len(content):
        return Answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
    part = content[start:end]
    place = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
    return Answer(206, part, {"Content-Range": place}, **members)  # type: ignore[arg-type]


@contextlib.contextmanager
def running(directory: Path, answer: Callable[[Asked], Answer]) -> Iterator[Server]:
    """Run a server."""
    server = Server(directory, answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
