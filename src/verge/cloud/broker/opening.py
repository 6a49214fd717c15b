"""The beginning of a connection: a CONNECT packet within its time, or a refusal."""

from __future__ import annotations

import asyncio
import socket
from typing import NamedTuple

from verge.cloud.broker import packets, relay

CONNECT_TIMEOUT = 10.0  # from the end of the handshake to a whole CONNECT packet

_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3))


class Refusal(Exception):  # noqa: N818  # it is an answer, no error of ours
    """A device that is known but may not come in, and what to tell it."""

    def __init__(self, level: int, reason: packets.Reason) -> None:
        super().__init__(reason.name)
        self.answer = packets.connack(level, reason)


class Opening(NamedTuple):
    """What has been read of a connection: its CONNECT, and the splitter with what followed."""

    connect: packets.Connect
    splitter: packets.Splitter


async def read_connect(reader: asyncio.StreamReader) -> Opening:
    """Return the CONNECT of a connection. Raises Refusal, PacketError, EOFError, TimeoutError."""
    splitter = packets.Splitter(relay.MAX_PACKET)
    async with asyncio.timeout(CONNECT_TIMEOUT):
        while True:
            data = await reader.read(relay.CHUNK)
            if not data:
                raise EOFError("closed before CONNECT")
            found = splitter.first(data)
            if found is not None:
                break
    try:
        return Opening(packets.read_connect(found), splitter)
    except packets.UnsupportedVersionError:
        # Whoever speaks another version understands the shorter form.
        raise Refusal(packets.V3, packets.Reason.VERSION) from None


def watch_peer(writer: asyncio.StreamWriter) -> None:
    """Notice devices that vanished although they asked for no keep-alive."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, seconds)
