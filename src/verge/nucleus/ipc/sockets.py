"""Unix socket addresses of any length.

A path of 108 bytes or more does not fit into a socket address (Greengrass contract 2.10). The
directory is opened then and the socket named below /proc/self/fd, which is always short.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_ADDRESS_BYTES = 107


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


def connect(path: Path, timeout: float | None = None) -> socket.socket:
    """Return a socket connected to the one at the path. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        with address_of(path) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection
