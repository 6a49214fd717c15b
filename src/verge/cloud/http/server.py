"""Threaded HTTP/1.1 servers: keep-alive, TLS in the connection's own thread, streamed bodies."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from verge.cloud import errors
from verge.cloud.http import connection

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = logging.getLogger(__name__)

IP_FREEBIND = 15  # linux/in.h: bind to an address that no interface has yet
HANDSHAKE_TIMEOUT = 10.0
STOP_TIMEOUT = 5.0  # how long requests that have begun may take once the server stops
OUT_OF_FILES_PAUSE = 0.05


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens on one address from its construction and serves from `start` to `stop`.

    The environment of each request has, besides WSGI's members, `verge.headers` (the headers as
    they were sent, an `email.message.Message`) and `verge.peer_certificate` (DER, or None).
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(
        self,
        address: str,
        port: int,
        application: WSGIApplication,
        *,
        context: ssl.SSLContext | None = None,
        option: str = "--port",
        max_body: int | None = connection.MAX_BODY,
        during: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        """Listen; port 0 means any. Raises SettingsError, which names `option` as the way out.

        `during` is entered for each request, from its first line to the end of its answer.
        """
        self.application = application
        self.context = context
        self.max_body = max_body
        self.during = during
        self._thread: threading.Thread | None = None
        self._open: set[socket.socket] = set()
        self._busy: set[socket.socket] = set()
        self._changed = threading.Condition()
        self.stopping = False
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            super().__init__((address, port), connection.Connection)
        except (OSError, OverflowError) as error:
            raise errors.SettingsError(
                f"cannot listen on {address}:{port}: {_reason(error)}; choose another with {option}"
            ) from error

    @property
    def address(self) -> str:
        """The address it listens on."""
        return str(self.server_address[0])

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def server_bind(self) -> None:
        """Bind, even if the address is that of an interface which is yet to come."""
        self.socket.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        super().server_bind()

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.1}, name=f"http {self.port}"
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting, finish what has begun within STOP_TIMEOUT, close everything."""
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()
        with self._changed:
            self.stopping = True
            for sock in self._open - self._busy:
                _cut(sock)
            if not self._changed.wait_for(lambda: not self._open, STOP_TIMEOUT):
                _log.warning("Requests cut off port=%d count=%d", self.port, len(self._open))
            for sock in self._open:
                _cut(sock)

    @contextlib.contextmanager
    def busy(self, sock: socket.socket) -> Iterator[None]:
        """Mark a connection as one that answers a request; the others are cut at the end."""
        with self._changed:
            self._busy.add(sock)
        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(sock)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; without file descriptors left, wait for one rather than spin."""
        try:
            return self.socket.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                _log.warning("Connections wait port=%d reason=%s", self.port, error.strerror)
                time.sleep(OUT_OF_FILES_PAUSE)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands, serve and close one connection; runs in the connection's own thread."""
        try:
            if self.context is not None:
                request.settimeout(HANDSHAKE_TIMEOUT)
                # The plain socket object is of no use from here on.
                request = self.context.wrap_socket(
                    request, server_side=True, do_handshake_on_connect=False
                )
            with self._open_until_done(request):
                if self.context is not None:
                    request.do_handshake()
                self.finish_request(request, client_address)
        except (OSError, ValueError) as error:
            _log.debug("Connection lost port=%d reason=%s", self.port, error)
        except Exception:  # noqa: BLE001  # one request must not end the others
            _log.exception("Connection failed port=%d", self.port)
        finally:
            self.shutdown_request(request)

    @contextlib.contextmanager
    def _open_until_done(self, sock: socket.socket) -> Iterator[None]:
        with self._changed:
            self._open.add(sock)
        try:
            yield
        finally:
            with self._changed:
                self._open.discard(sock)
                self._changed.notify_all()


def _cut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not SSLSocket's own method: that one drops the TLS state under the thread that reads.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "the port is taken"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return "ports below 1024 need a privilege (sysctl net.ipv4.ip_unprivileged_port_start)"
    return getattr(error, "strerror", None) or str(error)
