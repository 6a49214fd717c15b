"""Cloud, broker and devices die in any order in the middle of a deployment; it is done once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.support import core_devices, devices, running_cloud, thing_devices

DEVICES = 8
SECONDS = 0.4
"""How long a device takes to deploy: long enough to be hit."""
SPREAD = 0.5
PATIENCE = 40.0
ORDERS = list(itertools.permutations(("cloud", "broker", "device")))

pytestmark = devices.needs_mosquitto


class Site:
    """A running cloud and the identities of its devices, shared by the orders."""

    def __init__(self, cloud: running_cloud.RunningCloud, directory: Path) -> None:
        self.cloud = cloud
        self.fleet = core_devices.Fleet(cloud, directory, "line")
        self._greengrass = cloud.client("greengrassv2")
        self.identities = self.fleet.add(f"press-{n}" for n in range(DEVICES))
        self.fleet.publish()

    def kill_cloud(self) -> None:
        """SIGKILL the cloud and start it again."""
        self.cloud.kill()
        self.cloud.start()

    def kill_broker(self) -> None:
        """SIGKILL mosquitto; the cloud starts another one."""
        pid = running_cloud.wait_for(lambda: mosquitto(self.cloud.process.pid), "mosquitto runs")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def outcome(self, deployment: str) -> str:
        """Return the status of a deployment."""
        try:
            found = self._greengrass.get_deployment(deploymentId=deployment)
        except (BotoCoreError, ClientError):
            return ""
        return str(found["deploymentStatus"])

    def deploy(self, thing: str | None = None) -> dict[str, Any]:
        """Create a deployment, again as often as the cloud dies meanwhile; return the answer."""
        token = str(uuid.uuid4())

        def attempt() -> dict[str, Any] | None:
            try:
                return self.fleet.deploy(clientToken=token, thing=thing)
            except (BotoCoreError, ClientError):
                return None

        answer: dict[str, Any] = running_cloud.wait_for(attempt, "it is created", PATIENCE)
        return answer


def mosquitto(cloud: int) -> int | None:
    """Return the broker that a cloud runs."""
    for task in Path(f"/proc/{cloud}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                if Path(f"/proc/{child}/comm").read_text() == "mosquitto\n":
                    return int(child)
    return None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a site; each test deploys a revision of its own."""
    directory = tmp_path_factory.mktemp("site")
    with running_cloud.running(directory / "cloud") as cloud:
        yield Site(cloud, directory)


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
async def test_a_deployment_survives_any_order_of_deaths(
    site: Site, order: tuple[str, ...]
) -> None:
    """Whatever is killed when, each device deploys once and the cloud knows that it succeeded."""
    chance = random.Random("-".join(order))  # noqa: S311 - moments, not secrets
    fleet = [core_devices.CoreDevice(site.cloud, each, seconds=SECONDS) for each in site.identities]
    for device in fleet:
        device.start()
    try:
        async with asyncio.timeout(PATIENCE):
            await core_devices.all_connected(fleet)
        creating = asyncio.create_task(asyncio.to_thread(site.deploy))
        for victim in order:
            await asyncio.sleep(chance.uniform(0, SPREAD))
            await kill(site, fleet, victim, chance)
        job = (await creating)["iotJobId"]
        await finished(site, fleet, job)
    finally:
        await asyncio.gather(*(device.cut() for device in fleet))
    assert {device.thing: device.deployed for device in fleet} == {
        device.thing: [job] for device in fleet
    }
    refused = [error for device in fleet for error in device.errors if "rejected" in error]
    assert refused == []


@pytest.mark.parametrize("order", ORDERS[::2], ids="-".join)
async def test_a_thing_deployment_survives_as_well(site: Site, order: tuple[str, ...]) -> None:
    """What a shadow brings is deployed once, and the cloud knows that it is completed."""
    chance = random.Random("-".join(order))  # noqa: S311 - moments, not secrets
    identity = site.identities[ORDERS.index(order)]
    device = thing_devices.ThingDevice(site.cloud, identity, seconds=SECONDS)
    device.start()
    try:
        async with asyncio.timeout(PATIENCE):
            await device.connected.wait()
        creating = asyncio.create_task(asyncio.to_thread(site.deploy, identity.thing))
        for victim in order:
            await asyncio.sleep(chance.uniform(0, SPREAD))
            await kill(site, [device], victim, chance)
        deployment = (await creating)["deploymentId"]
        await asyncio.to_thread(
            running_cloud.wait_for,
            lambda: site.outcome(deployment) == "COMPLETED",
            f"deployment {deployment} is completed",
            PATIENCE,
        )
    finally:
        await device.cut()
    assert len(device.deployed) == 1


async def kill(
    site: Site, fleet: Sequence[core_devices.CoreDevice], victim: str, chance: random.Random
) -> None:
    """Kill the cloud, the broker or half of the devices, and bring them back."""
    if victim == "cloud":
        await asyncio.to_thread(site.kill_cloud)
    elif victim == "broker":
        await asyncio.to_thread(site.kill_broker)
    else:
        for device in chance.sample(fleet, (len(fleet) + 1) // 2):
            await device.cut()
            device.start()


async def finished(site: Site, fleet: list[core_devices.CoreDevice], job: str) -> None:
    """Wait until the cloud says that the job succeeded everywhere and all devices are healthy."""
    things = {device.thing for device in fleet}

    def known() -> bool:
        statuses = site.fleet.statuses(job)
        healthy = {t for t, status in site.fleet.core_devices().items() if status == "HEALTHY"}
        return set(statuses) == things == healthy and set(statuses.values()) == {"SUCCEEDED"}

    await asyncio.to_thread(
        running_cloud.wait_for, known, f"job {job} succeeded on all devices", PATIENCE
    )
