from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.ipc import sdk as sdks
from tests.support import ipc_host
from verge.nucleus.ipc import limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMPONENT = "com.example.Press"
OTHER = "com.example.Camera"
CLI = "greengrass-cli#user-0"


@pytest.fixture
def nucleus() -> ipc_host.MemoryHost:
    host = ipc_host.MemoryHost()
    host.install(COMPONENT, {**ipc_host.pubsub_policy("*"), "rate": 5, "camera": {"port": 80}})
    host.install(OTHER, {**ipc_host.pubsub_policy("*"), "Exposure": "auto"}, version="2.1.0")
    host.install("com.example.Denied", {})
    host.admit(CLI)
    return host


@pytest.fixture
def running(nucleus: ipc_host.MemoryHost, tmp_path: Path) -> Iterator[ipc_host.RunningServer]:
    with ipc_host.running_server(nucleus, tmp_path / "ipc.socket") as server:
        yield server


@pytest.fixture
def hasty(nucleus: ipc_host.MemoryHost, tmp_path: Path) -> Iterator[ipc_host.RunningServer]:
    """A server that does not leave refused clients much time."""
    most = limits.Limits(farewell=0.02)
    with ipc_host.running_server(nucleus, tmp_path / "ipc.socket", most) as server:
        yield server


@pytest.fixture(params=[sdks.V1, sdks.V2], ids=["V1", "V2"])
def connect(
    request: pytest.FixtureRequest, running: ipc_host.RunningServer
) -> Iterator[sdks.Connect]:
    opened: list[sdks.Sdk] = []

    def open_client(name: str = COMPONENT) -> sdks.Sdk:
        client: sdks.Sdk = request.param(running.path, f"token-of-{name}")
        opened.append(client)
        return client

    yield open_client
    for client in opened:
        client.close()
