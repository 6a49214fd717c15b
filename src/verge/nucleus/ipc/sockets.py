"""Unix socket addresses of any length.

A path of 108 bytes or more does not fit into a socket address (Greengrass contract 2.10). The
directory is opened then and the socket named below /proc/self/fd, which is always short.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_ADDRESS_BYTES = 107
_TIMEVAL = struct.Struct("@ll")


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """Yield an address for the socket at the path, to bind or to connect to within the block.

    Raises OSError if the directory of a long path cannot be opened.
    """
    if len(os.fsencode(path)) <= MAX_ADDRESS_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def connect(path: Path, timeout: float) -> socket.socket:
    """Return a socket connected to the one at the path, its timeout in seconds set.

    If the queue of the listener is full, it waits as long for a place. Raises OSError;
    BlockingIOError means that something listens there but there was no place.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # With a Python timeout the socket would not block, and a full queue be an error at once.
        limit_blocking(connection, timeout)
        with address_of(path) as address:
            connection.connect(address)
        limit_blocking(connection, 0)
        connection.settimeout(timeout)
    except BaseException:
        connection.close()
        raise
    return connection


def limit_blocking(connection: socket.socket, timeout: float) -> None:
    """Let connecting and sending on a socket without a Python timeout take so many seconds.

    0 is no limit. Beyond it they raise BlockingIOError.
    """
    limit = _TIMEVAL.pack(int(timeout), int(timeout % 1 * 1e6))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
