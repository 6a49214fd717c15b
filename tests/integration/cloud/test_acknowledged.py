"""What the cloud has acknowledged is there after SIGKILL, at whatever moment it comes."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import core_devices, devices, mqtt_client, running_cloud

ROUNDS = 2
PATIENCE = 30.0
THING = "press-07"

pytestmark = devices.needs_mosquitto


class Counter:
    """A device that reports one number after the other to its shadow and remembers the answers."""

    def __init__(self, cloud: running_cloud.RunningCloud, identity: core_devices.Identity) -> None:
        self._cloud = cloud
        self._identity = identity
        self._accepted: asyncio.Queue[Any] = asyncio.Queue()
        self.sent = 0
        self.acknowledged = 0

    async def run(self) -> None:
        """Count until the connection is lost."""
        mqtt = mqtt_client.Mqtt(lambda _, payload: self._accepted.put_nowait(payload))
        try:
            await mqtt.connect(
                "127.0.0.1", self._cloud.endpoints.mqtt_port, self._identity.context, THING
            )
            await mqtt.subscribe(f"$aws/things/{THING}/shadow/update/accepted")
            while True:
                self.sent += 1
                update = {"state": {"reported": {"count": self.sent}}}
                await mqtt.publish(f"$aws/things/{THING}/shadow/update", update)
                async with asyncio.timeout(PATIENCE):
                    answer = await mqtt.unless_lost(self._accepted.get())
                self.acknowledged = max(self.acknowledged, answer["state"]["reported"]["count"])
        except OSError:
            return
        finally:
            await mqtt.close()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[running_cloud.RunningCloud]:
    """Yield a running cloud."""
    with running_cloud.running(tmp_path / "cloud") as found:
        yield found


async def test_no_acknowledged_shadow_is_lost(
    cloud: running_cloud.RunningCloud, tmp_path: Path
) -> None:
    """After each SIGKILL the shadow has at least the last state that was accepted."""
    chance = random.Random("shadow")  # noqa: S311 - moments, not secrets
    fleet = core_devices.Fleet(cloud, tmp_path, "line")
    (identity,) = fleet.add([THING])
    counter = Counter(cloud, identity)
    for _ in range(ROUNDS):
        before = counter.acknowledged
        counting = asyncio.create_task(counter.run())
        await asyncio.to_thread(
            running_cloud.wait_for,
            lambda target=before + 5: counter.acknowledged >= target,
            "the device has counted",
            PATIENCE,
        )
        await asyncio.sleep(chance.uniform(0, 0.05))
        await asyncio.to_thread(cloud.kill)
        await counting
        await asyncio.to_thread(cloud.start)
        shadow = json.load(cloud.client("iot-data").get_thing_shadow(thingName=THING)["payload"])
        assert counter.acknowledged <= shadow["state"]["reported"]["count"] <= counter.sent
