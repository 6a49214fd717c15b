"""The local cloud as a background process of a checkout: started, found, replaced, stopped."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import running_cloud
from tests.unit.fleet import samples
from verge.fleet import cloud_endpoints, cloud_process, environments, errors, output, project

REGION = "eu-west-1"
CLOUD_YML = f"site_cloud: local\nsite_region: {REGION}\n"


@pytest.fixture
def where(tmp_path: Path) -> Iterator[project.Project]:
    """Return a checkout with the real sources; its cloud is gone afterwards."""
    made = samples.make_project(tmp_path / "checkout")
    samples.write_files(made.root / "inventory/local", {environments.SETTINGS: CLOUD_YML})
    (made.root / "src").symlink_to(running_cloud.REPOSITORY / "src")
    (made.root / "requirements.lock").write_text("one\n")
    yield made
    cloud_process.reset_cloud(made, output.Reporter())


def start(where: project.Project) -> list[str]:
    """Bring the cloud up."""
    return cloud_process.ensure_cloud(where, REGION, output.Reporter())


def pid_of(where: project.Project) -> int:
    """Return the process that serves."""
    status = cloud_process.read_status(where)
    assert status.running, status.reason
    assert status.endpoints is not None
    return status.endpoints.pid


def make_thing(where: project.Project, name: str) -> None:
    """Leave something in the cloud."""
    environment = environments.read_environment(where, "local")
    environments.connect(where, environment).client("iot").create_thing(thingName=name)


def things(where: project.Project) -> list[str]:
    """Return what the cloud knows."""
    environment = environments.read_environment(where, "local")
    listed = environments.connect(where, environment).client("iot").list_things()["things"]
    return [item["thingName"] for item in listed]


def test_it_is_started_once_and_replaced_when_needed(where: project.Project) -> None:
    """A second start changes nothing; changed code replaces the process and keeps state and ports.

    So does a process that was killed, or stopped.
    """
    assert not cloud_process.read_status(where).running
    assert start(where) == ["started the local cloud: it did not run"]
    first, ports = pid_of(where), cloud_endpoints.read_endpoints(where)
    make_thing(where, "press-01")
    assert start(where) == []
    assert pid_of(where) == first

    (where.root / "requirements.lock").write_text("another\n")
    assert start(where) == ["started the local cloud: its code has changed"]
    second = pid_of(where)
    assert second != first

    os.kill(second, signal.SIGKILL)
    running_cloud.wait_for(lambda: not cloud_process.read_status(where).running, "it is dead")
    assert start(where) == ["started the local cloud: it did not run"]
    assert things(where) == ["press-01"]

    found = cloud_endpoints.read_endpoints(where)
    assert (found.api, found.device_port, found.mqtt_port) == (
        ports.api,
        ports.device_port,
        ports.mqtt_port,
    )
    assert cloud_process.stop_cloud(where, output.Reporter()) == ["stopped the local cloud"]
    assert cloud_process.stop_cloud(where, output.Reporter()) == []
    assert "does not run" in cloud_process.read_status(where).reason


def test_deleted_state_is_made_anew_and_a_reset_leaves_nothing(where: project.Project) -> None:
    """Deleting `.verge/cloud` under a running cloud ends with a new, empty one."""
    start(where)
    make_thing(where, "press-01")
    first = pid_of(where)
    shutil.rmtree(cloud_endpoints.state_dir(where))
    assert len(start(where)) == 1
    assert pid_of(where) != first
    assert things(where) == []
    assert cloud_process.reset_cloud(where, output.Reporter()) == [
        "stopped the local cloud",
        "deleted the state of the local cloud",
    ]
    assert not cloud_endpoints.state_dir(where).exists()
    assert cloud_process.reset_cloud(where, output.Reporter()) == []


def test_two_starts_at_once_make_one(where: project.Project) -> None:
    """The second waits for the first and finds it running."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        changes = [future.result() for future in [pool.submit(start, where) for _ in range(2)]]
    assert sorted(len(item) for item in changes) == [0, 1]


def test_a_taken_port_is_left_alone(where: project.Project) -> None:
    """Where a port is somebody else's, another one is chosen: at first, and after a stop."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody may have it already
            other.bind(("127.0.0.1", 4566))
            other.listen()
        start(where)
        assert cloud_endpoints.read_endpoints(where).api != "http://127.0.0.1:4566"
    chosen = cloud_endpoints.read_endpoints(where).device_port
    cloud_process.stop_cloud(where, output.Reporter())
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", chosen))
        other.listen()
        start(where)
        assert cloud_endpoints.read_endpoints(where).device_port != chosen


def test_a_start_that_fails_shows_why(where: project.Project) -> None:
    """The last lines of the log are part of the message."""
    state = cloud_endpoints.state_dir(where)
    state.mkdir(parents=True)
    (state / "cloud.db").mkdir()
    with pytest.raises(errors.FleetError, match=r"(?s)cannot start the local cloud: .*cloud\.db"):
        start(where)
    assert cloud_process.read_log(where, 1)
