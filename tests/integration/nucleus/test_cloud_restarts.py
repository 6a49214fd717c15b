"""Cloud, broker and device are killed in the middle of deployments, in any order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import cloud_site, devices, recipes

PRESS = "com.example.Press"
ONCE = "echo done >> installed"
IDLE = "exec sleep 1000"
SIZE = 3_000_000

pytestmark = devices.needs_mosquitto

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud_site.Site]:
    """Return a cloud that all tests of this module kill and share."""
    with cloud_site.running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def thing() -> str:
    """Return the name of a thing that no other test uses."""
    return f"restart-{next(_numbers):02}"


def press(thing: str, version: str = "1.0.0") -> recipes.Component:
    """Return a version that notes every time it is installed."""
    return recipes.Component(
        f"{PRESS}.{thing}",
        version,
        lifecycle={"install": f"{ONCE}.{version}", "run": IDLE},
        artifacts={"data": os.urandom(SIZE)},
    )


async def restart_cloud(device: cloud_site.Device) -> None:
    """Kill the cloud, and start it again."""
    await asyncio.to_thread(device.site.cloud.kill)
    await asyncio.to_thread(device.site.cloud.start)


async def restart_device(device: cloud_site.Device) -> None:
    """Kill the nucleus, and start it again."""
    await device.nucleus.kill()
    await device.nucleus.start()


async def restart_broker(device: cloud_site.Device) -> None:
    """Kill mosquitto, which the cloud starts again."""
    broker = _broker_of(device.site.cloud.process.pid)
    os.kill(broker, signal.SIGKILL)
    await device.nucleus.until(lambda: not Path(f"/proc/{broker}/exe").exists(), "its end")


def _broker_of(pid: int) -> int:
    """Return the process id of the mosquitto that a cloud has started."""
    children: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # threads come and go
            children += (task / "children").read_text().split()
    (broker,) = [c for c in children if Path(f"/proc/{c}/comm").read_text() == "mosquitto\n"]
    return int(broker)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([restart_device], id="device"),
        pytest.param([restart_cloud], id="cloud"),
        pytest.param([restart_broker], id="broker"),
        pytest.param([restart_cloud, restart_device], id="cloud-device"),
        pytest.param([restart_device, restart_cloud], id="device-cloud"),
        pytest.param([restart_broker, restart_device, restart_cloud], id="all"),
    ],
)
async def test_deployment_is_done_once(site: cloud_site.Site, thing: str, steps: list[Any]) -> None:
    """Whatever is restarted in the middle of a deployment, it is carried out once, to its end."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing)
        site.publish(one)
        site.group(f"line-{thing}", thing)
        await device.linked()
        device.https.break_after = 1_000_000
        deployment = site.deploy(f"line-{thing}", {one.name: "1.0.0"})
        downloads = device.nucleus.paths.downloads
        await device.nucleus.until(
            lambda: downloads.is_dir() and any(f.stat().st_size for f in downloads.iterdir()),
            "a part of the download",
        )
        device.https.hold()
        for step in steps:
            await step(device)
        device.mend()
        ended = await device.ended(deployment)
        assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
        await device.nucleus.in_state(one.name, "RUNNING")
        installs = device.nucleus.work(one.name, "installed.1.0.0").read_text().splitlines()
        assert installs == ["done"]
        assert device.nucleus.log().count("Deployment activated") == 1


async def test_killed_at_any_moment(site: cloud_site.Site, thing: str) -> None:
    """A nucleus that is killed at any moment of fetching and applying ends what was begun."""
    moments = random.Random(20_26)  # noqa: S311 - reproducible, not secret
    async with cloud_site.device(site, thing) as device:
        site.group(f"line-{thing}", thing)
        for number in range(4):
            one = press(thing, f"1.{number}.0")
            site.publish(one)
            await device.linked()
            deployment = site.deploy(f"line-{thing}", {one.name: one.version})
            for _ in range(2):
                # The moment is the point of this test: it has no condition to wait for.
                await asyncio.sleep(moments.uniform(0.0, 0.5))
                await restart_device(device)
            ended = await device.ended(deployment)
            assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
            await device.nucleus.in_state(one.name, "RUNNING", one.version)
            data = device.nucleus.paths.artifacts(one.name, one.version) / "data"
            assert data.read_bytes() == one.artifacts["data"]
            assert not list(device.nucleus.paths.staging.iterdir())


async def test_end_is_told_after_an_outage(site: cloud_site.Site, thing: str) -> None:
    """A deployment that ended while the cloud was away is reported when it is back, once."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing)
        site.publish(one)
        site.group(f"line-{thing}", thing)
        await device.linked()
        device.https.hold()
        deployment = site.deploy(f"line-{thing}", {one.name: "1.0.0"})
        await device.nucleus.until(lambda: "Deployment begun" in device.nucleus.log(), "its begin")
        device.mqtt.cut()
        device.https.mend()
        await device.nucleus.until(lambda: "Deployment ended" in device.nucleus.log(), "its end")
        known = site.effective(thing, deployment)["coreDeviceExecutionStatus"]
        assert known in {"QUEUED", "IN_PROGRESS"}
        await restart_device(device)
        await restart_cloud(device)
        device.mend()
        ended = await device.ended(deployment)
        assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
        assert device.nucleus.log().count("Deployment activated") == 1
