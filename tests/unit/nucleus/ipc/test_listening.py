from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from verge.nucleus.ipc import listening, sockets


def test_mode_and_removal(tmp_path: Path) -> None:
    """Any user may connect, and the socket goes with its server."""
    path = tmp_path / "ipc.socket"
    before = os.umask(0o077)
    try:
        with listening.at(path) as listener:
            assert stat.S_IMODE(path.stat().st_mode) == 0o666
            sockets.connect(path, 5).close()
            listener.accept()[0].close()
            assert [entry.name for entry in tmp_path.iterdir()] == ["ipc.socket"]
    finally:
        os.umask(before)
    assert not list(tmp_path.iterdir())


def test_present_listener_is_respected(tmp_path: Path) -> None:
    """A path on which something listens is in use, and stays so."""
    path = tmp_path / "ipc.socket"
    with listening.at(path):
        with pytest.raises(listening.ListenError, match=r"ipc.socket: already in use$"):
            listening.at(path).__enter__()
        sockets.connect(path, 5).close()


def test_listener_with_a_full_queue_is_respected(tmp_path: Path) -> None:
    """A server that is too busy to accept is no dead one."""
    path = tmp_path / "ipc.socket"
    with listening.at(path) as listener, pytest.MonkeyPatch.context() as patch:
        patch.setattr(listening, "_DIAL_TIMEOUT", 0.05)
        listener.listen(0)
        waiting = sockets.connect(path, 5)
        with pytest.raises(listening.ListenError, match="already in use"):
            listening.at(path).__enter__()
        waiting.close()


def test_dead_socket_is_replaced(tmp_path: Path) -> None:
    """What a killed server left behind does not keep the next one from starting."""
    path = tmp_path / "ipc.socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening.at(path):
        sockets.connect(path, 5).close()


def test_something_else_is_not_replaced(tmp_path: Path) -> None:
    """A file at the path is kept."""
    path = tmp_path / "ipc.socket"
    path.write_text("kept")
    with pytest.raises(listening.ListenError, match="no socket"):
        listening.at(path).__enter__()
    assert path.read_text() == "kept"


def test_missing_directory(tmp_path: Path) -> None:
    """A directory that is not there is named."""
    path = tmp_path / "missing" / "ipc.socket"
    with pytest.raises(listening.ListenError, match=f"cannot listen on {path}: No such file"):
        listening.at(path).__enter__()


@pytest.mark.parametrize("length", [106, 107, 108, 109, 300])
def test_paths_of_any_length(tmp_path: Path, length: int) -> None:
    """A path too long for a socket address works as well."""
    directory = tmp_path
    while len(str(directory)) + 60 < length:
        directory /= "d" * 40
    directory.mkdir(parents=True, exist_ok=True)
    name = "s" * max(1, length - len(str(directory)) - 1)
    path = directory / name
    with listening.at(path) as listener:
        client = sockets.connect(path, 5)
        client.sendall(b"x")
        server = listener.accept()[0]
        assert server.recv(1) == b"x"
        client.close()
        server.close()
    assert not path.exists()


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relative address that components get for a long path reaches the socket."""
    work = tmp_path / "work" / "com.example.Press"
    work.mkdir(parents=True)
    with listening.at(tmp_path / "ipc.socket"):
        monkeypatch.chdir(work)
        sockets.connect(Path("../../ipc.socket"), 5).close()


def test_socket_of_a_successor_is_kept(tmp_path: Path) -> None:
    """A server that ends late does not remove the socket of the next one."""
    path = tmp_path / "ipc.socket"
    with listening.at(path):
        path.unlink()
        successor = socket.socket(socket.AF_UNIX)
        successor.bind(str(path))
    assert path.exists()
    successor.close()
