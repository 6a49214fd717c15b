"""`iotJobConfiguration` of a deployment, obeyed by the running cloud."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import core_devices, devices, running_cloud

DEVICES = 6
PATIENCE = 30.0

pytestmark = devices.needs_mosquitto


class Site:
    """A running cloud with a group; the devices are made anew for each test."""

    def __init__(self, cloud: running_cloud.RunningCloud, directory: Path) -> None:
        self.cloud = cloud
        self.fleet = core_devices.Fleet(cloud, directory, "line")
        self.identities = self.fleet.add(f"press-{n}" for n in range(DEVICES))
        self.fleet.publish()

    @contextlib.asynccontextmanager
    async def running(self, outcomes: Sequence[str]) -> AsyncIterator[None]:
        """Run devices that end what they are given in these ways."""
        fleet = [
            core_devices.CoreDevice(self.cloud, identity, outcome=outcome)
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
