"""`iotJobConfiguration` of a deployment, obeyed by the running cloud."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import core_devices, devices, mqtt_client, running_cloud

DEVICES = 6
PATIENCE = 30.0
FOREVER = 3600.0

pytestmark = devices.needs_mosquitto


class Site:
    """A running cloud with a group; the devices are made anew for each test."""

    def __init__(self, cloud: running_cloud.RunningCloud, directory: Path) -> None:
        self.cloud = cloud
        self.fleet = core_devices.Fleet(cloud, directory, "line")
        self.identities = self.fleet.add(f"press-{n}" for n in range(DEVICES))
        self.fleet.publish()

    @contextlib.asynccontextmanager
    async def running(self, outcomes: Sequence[str], silent: str = "") -> AsyncIterator[None]:
        """Run devices that end what they are given in these ways; one may never end it."""
        fleet = [
            core_devices.CoreDevice(
                self.cloud,
                identity,
                outcome=outcome,
                seconds=FOREVER if identity.thing == silent else 0.0,
            )
            for identity, outcome in zip(self.identities, outcomes, strict=True)
        ]
        for device in fleet:
            device.start()
        try:
            async with asyncio.timeout(PATIENCE):
                await core_devices.all_connected(fleet)
            yield
        finally:
            await asyncio.gather(*(device.cut() for device in fleet))

    async def deploy(self, **configuration: Any) -> dict[str, Any]:
        """Create a deployment with job settings."""
        return await asyncio.to_thread(self.fleet.deploy, iotJobConfiguration=configuration)

    async def counts(self, job: str, wanted: dict[str, int]) -> None:
        """Wait until the executions of a job have these statuses."""

        def as_wanted() -> bool:
            statuses = list(self.fleet.statuses(job).values())
            return {each: statuses.count(each) for each in set(statuses)} == wanted

        await asyncio.to_thread(running_cloud.wait_for, as_wanted, f"{wanted}", PATIENCE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a site."""
    directory = tmp_path_factory.mktemp("rollout")
    with running_cloud.running(directory / "cloud") as cloud:
        yield Site(cloud, directory)


async def test_no_more_devices_a_minute_than_allowed(site: Site) -> None:
    """Two devices take the deployment in the first minute; cancelled, no further one does."""
    async with site.running(["SUCCEEDED"] * DEVICES):
        made = await site.deploy(jobExecutionsRolloutConfig={"maximumPerMinute": 2})
        await site.counts(made["iotJobId"], {"SUCCEEDED": 2})
        greengrass = site.cloud.client("greengrassv2")
        await asyncio.to_thread(greengrass.cancel_deployment, deploymentId=made["deploymentId"])
        job = site.cloud.client("iot").describe_job(jobId=made["iotJobId"])["job"]
        assert job["status"] == "CANCELED"
        assert "processingTargets" not in job["jobProcessDetails"]


async def test_a_bad_version_is_stopped(site: Site) -> None:
    """The criterion stops the deployment after the first devices failed; the rest never see it."""
    criterion = {
        "failureType": "FAILED",
        "action": "CANCEL",
        "thresholdPercentage": 50,
        "minNumberOfExecutedThings": 2,
    }
    async with site.running(["FAILED"] * DEVICES):
        made = await site.deploy(
            abortConfig={"criteriaList": [criterion]},
            jobExecutionsRolloutConfig={"maximumPerMinute": 2},
        )
        await site.counts(made["iotJobId"], {"FAILED": 2})
    job = site.cloud.client("iot").describe_job(jobId=made["iotJobId"])["job"]
    assert (job["status"], job["reasonCode"]) == ("CANCELED", "ABORT_CRITERIA_MET")
    greengrass = site.cloud.client("greengrassv2")
    shown = greengrass.get_deployment(deploymentId=made["deploymentId"])
    assert shown["deploymentStatus"] == "CANCELED"


async def test_a_device_that_joins_is_told(site: Site) -> None:
    """A device that joins the group later takes the deployment by itself."""
    async with site.running(["SUCCEEDED"] * DEVICES):
        made = await site.deploy()
        await site.counts(made["iotJobId"], {"SUCCEEDED": DEVICES})
        (newcomer,) = await asyncio.to_thread(site.fleet.add, ["late"])
        device = core_devices.CoreDevice(site.cloud, newcomer)
        device.start()
        try:
            await site.counts(made["iotJobId"], {"SUCCEEDED": DEVICES + 1})
        finally:
            await device.cut()
    assert device.deployed == [made["iotJobId"]]


async def test_a_device_that_falls_silent_times_out(tmp_path: Path) -> None:
    """A minute after a device began, its part has timed out, and what it says later is refused.

    The minute passes while the cloud is away: it comes back with a clock that is a minute ahead.
    """
    with running_cloud.running(tmp_path / "cloud") as cloud:
        site = await asyncio.to_thread(Site, cloud, tmp_path)
        async with site.running(["SUCCEEDED"] * DEVICES, silent="press-0"):
            made = await site.deploy(timeoutConfig={"inProgressTimeoutInMinutes": 1})
            job = made["iotJobId"]
            await site.counts(job, {"IN_PROGRESS": 1, "SUCCEEDED": DEVICES - 1})
            await asyncio.to_thread(cloud.stop)
            await asyncio.to_thread(functools.partial(cloud.start, ahead=61))
            await site.counts(job, {"TIMED_OUT": 1, "SUCCEEDED": DEVICES - 1})
        refused = await said_late(site, job)
    assert refused["executionState"]["status"] == "TIMED_OUT"


async def said_late(site: Site, job: str) -> dict[str, Any]:
    """Report success as the first device and return what the cloud answers."""
    thing, context = site.identities[0]
    update = f"$aws/things/{thing}/jobs/{job}/{core_devices.NAMESPACE}/update"
    answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    mqtt = mqtt_client.Mqtt(lambda topic, payload: answered.set_result(payload))
    endpoints = site.cloud.endpoints
    await mqtt.connect(endpoints.device_addresses[0], endpoints.mqtt_port, context, thing)
    try:
        await mqtt.subscribe(f"{update}/accepted", f"{update}/rejected")
        await mqtt.publish(update, {"status": "SUCCEEDED"})
        async with asyncio.timeout(PATIENCE):
            return await answered
    finally:
        await mqtt.close()
