"""A nucleus killed at every point at which a deployment of the cloud writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import armed_nucleus, cloud_site, devices, recipes

PRESS = "com.example.Press"
MOST_POINTS = 120
LEAST_POINTS = 40
"""A deployment of this size wrote at 60 to 63 points; with fewer the kills do not reach it."""
SIDE_BY_SIDE = 4
"""Devices that share the points; each spends its time on waiting."""

pytestmark = devices.needs_mosquitto


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud_site.Site]:
    """Return a cloud for all devices."""
    with cloud_site.running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


def press(thing: str, point: int) -> recipes.Component:
    """Return the version that is to be deployed while the nucleus is killed at that point."""
    return recipes.Component(
        f"{PRESS}.{thing}",
        f"1.{point}.0",
        run="exec sleep 1000",
        artifacts={"data": os.urandom(100_000), "more.zip": recipes.archive({"a": b"1"})},
        unarchive=["more.zip"],
    )


async def kill_at(site: cloud_site.Site, thing: str, points: range) -> list[int]:
    """Return the points at which a device was killed, until a deployment had fewer points."""
    killed: list[int] = []
    async with cloud_site.device(site, thing, start=False) as device:
        device.nucleus.program = (armed_nucleus.__file__,)
        device.nucleus.environment["VERGE_POINT"] = str(device.nucleus.directory / "point")
        await device.nucleus.start()
        await asyncio.to_thread(site.group, f"line-{thing}", thing)
        for point in points:
            if not await deployed_under_a_kill(device, point):
                return killed
            killed.append(point)
    raise AssertionError("there are more write points than were tried")


async def arm(device: cloud_site.Device, point: int) -> bool:
    """Let the nucleus kill itself at a point, and return whether it still could be told."""
    file = device.nucleus.directory / "point"
    await asyncio.to_thread(file.write_text, str(point))
    with contextlib.suppress(ProcessLookupError):
        device.nucleus.send(signal.SIGUSR1)
    await device.nucleus.until(
        lambda: not file.exists() or not device.nucleus.alive, "it is told or dead"
    )
    return device.nucleus.alive


async def deployed_under_a_kill(device: cloud_site.Device, point: int) -> bool:
    """Deploy a new version and return whether the nucleus was killed while it did so."""
    one = press(device.thing, point)
    await asyncio.to_thread(device.site.publish, one)
    assert await arm(device, point)
    update = {"merge": json.dumps({"point": point})}
    wanted = {one.name: {"componentVersion": one.version, "configurationUpdate": update}}
    deployment = await asyncio.to_thread(device.site.deploy, f"line-{device.thing}", wanted)
    ending = asyncio.create_task(device.ended(deployment))
    dying = asyncio.create_task(device.nucleus.wait())
    await asyncio.wait({ending, dying}, return_when=asyncio.FIRST_COMPLETED)
    # The last points are passed when the cloud knows of the end already.
    if killed := not (device.nucleus.alive and await arm(device, 0)):
        assert await dying == -signal.SIGKILL, device.nucleus.log()
        await device.nucleus.start()
    dying.cancel()
    await check(device, one, await ending, point)
    return killed


async def check(
    device: cloud_site.Device, one: recipes.Component, ended: dict[str, Any], point: int
) -> None:
    """Compare what the cloud knows and what the device has with what was wanted."""
    assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", (point, ended)
    await device.nucleus.in_state(one.name, "RUNNING", one.version)
    found = await device.nucleus.component(one.name)
    assert found["configuration"] == {"point": point}
    where = device.nucleus.paths
    assert (where.artifacts(one.name, one.version) / "data").read_bytes() == one.artifacts["data"]
    assert not list(where.staging.iterdir()), point
    assert not list(where.downloads.glob("*")), point


@pytest.mark.timeout(240)
async def test_every_kill_is_made_up_for(site: cloud_site.Site) -> None:
    """Wherever it is killed, the next start brings the version, and the cloud learns of it."""
    parts = [
        kill_at(site, f"crash-{first}", range(first, MOST_POINTS, SIDE_BY_SIDE))
        for first in range(1, SIDE_BY_SIDE + 1)
    ]
    # How often a device still writes once the cloud knows of the end differs from run to run, so
    # the devices need not agree on the last points.
    everywhere = min(max(part) for part in await asyncio.gather(*parts))
    assert everywhere >= LEAST_POINTS
