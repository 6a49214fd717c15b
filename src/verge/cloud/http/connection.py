"""One connection of a client: requests one after the other, each a call of a WSGI application."""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import re
import ssl
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from verge.cloud.http import body

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from verge.cloud.http import server as listener

_log = logging.getLogger(__name__)

IDLE_TIMEOUT = 60.0  # as AWS's own front ends; also the longest wait for one read or write
MAX_BODY = 64 * 1024 * 1024
"""Bytes of a body unless the application lifts the limit of the stream."""

_MAX_DRAIN = 4 * 1024 * 1024  # a refused body that is longer costs the client its connection,
_MAX_LINGER = 256 * 1024 * 1024  # but up to here not the answer: it reads once all is sent
_BUFFER = 64 * 1024
_LENGTH = re.compile(r"[0-9]{1,18}")
_BODILESS = frozenset({204, 304})


class Connection(http.server.BaseHTTPRequestHandler):
    """Parses requests, calls the application and sends what it returns."""

    server: listener.Server
    protocol_version = "HTTP/1.1"
    server_version = "verge-cloud"
    sys_version = ""
    timeout = IDLE_TIMEOUT
    disable_nagle_algorithm = True
    rbufsize = _BUFFER
    wbufsize = _BUFFER

    def handle_expect_100(self) -> bool:
        """Leave the answer to the one who reads the body."""
        return True

    def __getattr__(self, name: str) -> Any:
        """Answer every method in the same way."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def handle_one_request(self) -> None:
        """Wait for one request and answer it."""
        try:
            with contextlib.ExitStack() as self._request:
                super().handle_one_request()
        except (ConnectionError, TimeoutError, ssl.SSLError) as error:
            self.close_connection = True
            _log.debug("Connection lost port=%d reason=%s", self.server.port, error)

    def parse_request(self) -> bool:
        """Begin with a request whose first line has come."""
        self._request.enter_context(self.server.during())
        return super().parse_request()

    def _answer(self) -> None:
        with self.server.busy(self.connection):
            stream = self._body()
            if stream is None:
                return
            self._call(self._environment(stream), stream)
            self.wfile.flush()
        if self.server.stopping:
            self.close_connection = True

    def _body(self) -> body.Body | None:
        """Return the body's stream; None if the headers contradict each other (answered)."""
        lengths = set(self.headers.get_all("Content-Length", ()))
        encodings = self.headers.get_all("Transfer-Encoding", ())
        chunked = [word.strip().lower() for word in ",".join(encodings).split(",") if word.strip()]
        valid = len(lengths) <= 1 and all(_LENGTH.fullmatch(value) for value in lengths)
        if not valid or chunked not in ([], ["chunked"]) or (chunked and lengths):
            self.send_error(400, "cannot tell where the body ends")
            return None
        waiting = self.headers.get("Expect", "").strip().lower() == "100-continue"
        return body.Body(
            self.rfile,  # type: ignore[arg-type]
            length=None if chunked else int(next(iter(lengths), "0")),
            limit=self.server.max_body,
            go_on=self._go_on if waiting and self.request_version >= "HTTP/1.1" else None,
        )

    def _go_on(self) -> None:
        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.wfile.flush()

    def _environment(self, stream: body.Body) -> WSGIEnvironment:
        target = self.path
        if not target.startswith("/"):  # a proxy's form: the whole URL
            target = "/" + target.partition("://")[2].partition("/")[2]
        path, _, query = target.partition("?")
        environ: WSGIEnvironment = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http" if self.server.context is None else "https",
            "wsgi.input": stream,
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": target,
            "REQUEST_URI": target,
            "REMOTE_ADDR": self.client_address[0],
            "SERVER_NAME": self.server.address,
            "SERVER_PORT": str(self.server.port),
            "SERVER_PROTOCOL": self.request_version,
            "verge.headers": self.headers,
            "verge.peer_certificate": None,
        }
        if isinstance(self.connection, ssl.SSLSocket):
            environ["verge.peer_certificate"] = self.connection.getpeercert(binary_form=True)
        for name, value in self.headers.items():
            if "_" in name:  # would pass for the header with dashes
                continue
            key = name.upper().replace("-", "_")
            if key not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
                key = f"HTTP_{key}"
            value = " ".join(value.split("\r\n"))
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        return environ

    def _call(self, environ: WSGIEnvironment, stream: body.Body) -> None:
        answer: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            answer.update(status=status, headers=headers)
            return self.wfile.write

        parts = self.server.application(environ, start)
        try:
            self._send(answer["status"], answer["headers"], parts, stream)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()

    def _send(
        self,
        status: str,
        headers: list[tuple[str, str]],
        parts: Iterable[bytes],
        stream: body.Body,
    ) -> None:
        code, _, reason = status.partition(" ")
        names = {name.lower() for name, _ in headers}
        bodiless = self.command == "HEAD" or int(code) in _BODILESS
        chunked = not bodiless and "content-length" not in names
        if chunked and self.request_version < "HTTP/1.1":
            chunked, self.close_connection = False, True
        if not stream.drain(_MAX_DRAIN):
            self.close_connection = True
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if not bodiless:
            self._send_parts(parts, chunked=chunked)
        if not stream.finished and not stream.untouched:
            self.wfile.flush()
            stream.drain(_MAX_LINGER)

    def _send_parts(self, parts: Iterable[bytes], *, chunked: bool) -> None:
        # Once the headers are out, only a cut connection can tell the client of a failure.
        finished, self.close_connection = self.close_connection, True
        for part in parts:
            if part and chunked:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            elif part:
                self.wfile.write(part)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = finished

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no proper request in the envelope of all errors, and hang up."""
        self.close_connection = True
        text = message or explain or self.responses.get(code, ("",))[0]
        content = json.dumps({"__type": "BadRequestException", "message": text}).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log requests where somebody asked for it."""
        _log.debug("%s port=%d", format % args, self.server.port)
