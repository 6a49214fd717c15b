"""The listening socket: one nucleus per path, no moment without the right mode."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import TYPE_CHECKING

from verge.nucleus.ipc import sockets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOCKET_MODE = 0o666  # any component's user connects; the token tells who it is (contract 2.10)
_DIAL_TIMEOUT = 0.5  # s to wait for a place in a full queue, which is in use as well


class ListenError(OSError):
    """The socket cannot be listened on."""


@contextlib.contextmanager
def at(path: Path) -> Iterator[socket.socket]:
    """Yield a bound socket, which is at the path within the block and removed after it.

    A socket that nobody listens on is replaced, atomically, so clients find either the former or
    this one, with its final mode. Raises ListenError if the path is in use or not usable.
    """
    try:
        _check_free(path)
        listener = _bind(path)
    except ListenError:
        raise
    except OSError as error:
        raise ListenError(f"cannot listen on {path}: {error.strerror or error}") from error
    with listener:
        own = path.stat()
        try:
            yield listener
        finally:
            _remove(path, own)


def _check_free(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on {path}: something that is no socket is there")
    try:
        sockets.connect(path, _DIAL_TIMEOUT).close()
    except ConnectionRefusedError:
        return  # left behind by a nucleus that was killed
    except BlockingIOError:  # a full queue
        pass
    raise ListenError(f"cannot listen on {path}: already in use")


def _bind(path: Path) -> socket.socket:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with sockets.address_of(draft) as address:
            listener.bind(address)
        draft.chmod(SOCKET_MODE)
        listener.listen()  # before it can be found, so nobody is refused
        draft.rename(path)
    except BaseException:
        listener.close()
        draft.unlink(missing_ok=True)
        raise
    return listener


def _remove(path: Path, own: os.stat_result) -> None:
    with contextlib.suppress(FileNotFoundError):
        present = path.lstat()
        if (present.st_dev, present.st_ino) == (own.st_dev, own.st_ino):
            path.unlink()
