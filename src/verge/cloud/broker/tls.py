"""A TLS listener for thousands of connections in one event loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio import sslproto
from collections.abc import Awaitable, Callable
from typing import Any

from verge.cloud import errors

IP_FREEBIND = 15  # linux/in.h: an address may appear only later, as that of a bridge does
BACKLOG = 1024
SHUTDOWN_TIMEOUT = 1.0
WRITE_HIGH = 64 * 1024
READ_LIMIT = 64 * 1024

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class SmallBuffers(sslproto.SSLProtocol):
    """asyncio's TLS with a buffer for one record, not for 256 KiB, in each connection."""

    max_size = 16 * 1024

    def __init__(
        self, open_transports: set[asyncio.Transport], *values: Any, **options: Any
    ) -> None:
        super().__init__(*values, **options)
        self._open = open_transports
        self._plain: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        """Note that the connection is open, whatever becomes of the handshake."""
        self._plain = transport
        self._open.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note that it is not."""
        if self._plain is not None:
            self._open.discard(self._plain)
        super().connection_lost(exc)


async def listen(
    address: str,
    port: int,
    context: ssl.SSLContext,
    connected: Connected,
    *,
    handshake_timeout: int,
    open_transports: set[asyncio.Transport],
) -> asyncio.Server:
    """Serve TLS; `connected` is called when the handshake is done. Raises SettingsError.

    All connections that are open, also those before their handshakes, stand in `open_transports`.
    """
    loop = asyncio.get_running_loop()

    def protocol() -> asyncio.BaseProtocol:
        reader = asyncio.StreamReader(limit=READ_LIMIT, loop=loop)
        stream = asyncio.StreamReaderProtocol(reader, connected, loop=loop)
        return SmallBuffers(
            open_transports,
            loop,
            stream,
            context,
            waiter=None,  # servers wait for no one
            server_side=True,
            ssl_handshake_timeout=handshake_timeout,
            ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
        )

    return await loop.create_server(protocol, sock=_bound(address, port), backlog=BACKLOG)


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        sock.bind((address, port))
    except (OSError, OverflowError) as error:
        sock.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise errors.SettingsError(
            f"cannot listen on {address}:{port} for MQTT: {reason}; choose another port with "
            "--mqtt-port"
        ) from error
    sock.setblocking(False)
    return sock


def certificate(writer: asyncio.StreamWriter) -> bytes | None:
    """Return the client's certificate (DER), which the handshake has verified."""
    secured: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    return None if secured is None else secured.getpeercert(binary_form=True)
