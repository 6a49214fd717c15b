from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support import ipc_host
from verge.nucleus.ipc import client, framing, rpc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "token-of-greengrass-cli#user-0"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[ipc_host.RunningServer]:
    nucleus = ipc_host.MemoryHost()
    nucleus.admit("greengrass-cli#user-0")
    nucleus.install("com.example.Press", {"rate": 5})
    nucleus.install("stuck")
    with ipc_host.running_server(nucleus, tmp_path / "ipc.socket") as server:
        yield server
        server.do(nucleus.components.stuck.set)


def test_call(running: ipc_host.RunningServer) -> None:
    """A call returns the response, with and without the prefix of the operation."""
    with client.IpcClient(running.path, TOKEN) as ipc:
        fields = {"componentName": "com.example.Press", "keyPath": ["rate"]}
        short = ipc.call("GetConfiguration", fields)
        assert short == ipc.call("aws.greengrass#GetConfiguration", fields)
        assert short["value"] == {"rate": 5}


def test_error(running: ipc_host.RunningServer) -> None:
    """An error has its name and its message, and the client goes on."""
    with client.IpcClient(running.path, TOKEN) as ipc:
        with pytest.raises(client.IpcError, match="Missing is not installed") as error:
            ipc.call("GetComponentDetails", {"componentName": "com.example.Missing"})
        assert error.value.error_name == "ResourceNotFoundError"
        assert len(ipc.call("ListComponents", {})["components"]) == 2


def test_subscribe(running: ipc_host.RunningServer) -> None:
    """Events come in order, also if other calls were made meanwhile; closing ends the stream."""
    with client.IpcClient(running.path, TOKEN) as ipc:
        events = ipc.subscribe("SubscribeToTopic", {"topic": "a"}, timeout=10)
        for number in range(5):
            message = {"jsonMessage": {"message": number}}
            ipc.call("PublishToTopic", {"topic": "a", "publishMessage": message})
        got = [next(events)["jsonMessage"]["message"] for _ in range(5)]
        assert got == list(range(5))
        events.close()
        assert ipc.call("PublishToTopic", {"topic": "a", "publishMessage": message}) == {}


def test_subscribe_that_is_refused(running: ipc_host.RunningServer) -> None:
    """A refused subscription fails at once, not with the first event."""
    with (
        client.IpcClient(running.path, TOKEN) as ipc,
        pytest.raises(client.IpcError, match="topic is required"),
    ):
        ipc.subscribe("SubscribeToTopic", {})


def test_timeout(running: ipc_host.RunningServer) -> None:
    """A call without an answer times out, and its late answer confuses nobody."""
    with client.IpcClient(running.path, TOKEN) as ipc:
        with pytest.raises(TimeoutError):
            ipc.call("RestartComponent", {"componentName": "stuck"}, timeout=0.05)
        running.do(running.nucleus.components.stuck.set)
        assert len(ipc.call("ListComponents", {})["components"]) == 2


def test_token_is_refused(running: ipc_host.RunningServer) -> None:
    """A wrong token is told as such."""
    with pytest.raises(client.IpcConnectionError, match="refused the token"):
        client.IpcClient(running.path, "wrong").__enter__()


def test_nobody_listens(tmp_path: Path) -> None:
    """Without a nucleus the error names the path and the next step."""
    path = tmp_path / "ipc.socket"
    with pytest.raises(client.IpcConnectionError, match=f"{path}: No such file.*running") as error:
        client.IpcClient(path, TOKEN).__enter__()
    assert error.value.error_name == "ConnectionError"


def test_connection_is_lost(running: ipc_host.RunningServer) -> None:
    """A nucleus that goes away is an error of the connection, also for events."""
    with client.IpcClient(running.path, TOKEN) as ipc:
        events = ipc.subscribe("SubscribeToTopic", {"topic": "a"}, timeout=10)
        running.do(running.server.disconnect, "greengrass-cli#user-0")
        with pytest.raises(client.IpcConnectionError):
            next(events)
        with pytest.raises(client.IpcConnectionError):
            ipc.call("ListComponents", {})
    with pytest.raises(client.IpcConnectionError, match="closed"):
        ipc.call("ListComponents", {})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(b"garbage that is no frame", client.IpcConnectionError, id="garbage"),
        pytest.param(
            rpc.Template(rpc.MessageType.PROTOCOL_ERROR).message(0, b"no"),
            client.IpcConnectionError,
            id="protocol error",
        ),
        pytest.param(
            rpc.Template(rpc.MessageType.APPLICATION_MESSAGE, 2, "x").message(1, b"{"),
            client.IpcError,
            id="broken JSON",
        ),
        pytest.param(
            framing.encode([framing.int32(":stream-id", 1)], b"{}")[:-1],
            client.IpcConnectionError,
            id="half a frame",
        ),
    ],
)
def test_server_that_misbehaves(
    tmp_path: Path, answer: bytes, error: type[client.IpcError]
) -> None:
    """Answers that make no sense are errors of ours, never anything else."""
    path = tmp_path / "ipc.socket"
    accepted = rpc.Template(rpc.MessageType.CONNECT_ACK, 1).message(0, b"")

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(accepted)
            connection.recv(65536)
            connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with client.IpcClient(path, TOKEN) as ipc, pytest.raises(error):
            ipc.call("ListComponents", {}, timeout=10)
        thread.join(10)
