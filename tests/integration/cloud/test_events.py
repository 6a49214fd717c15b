"""Rules on the account's default event bus hear what becomes of deployments (contract 5.9)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import core_devices, devices, running_cloud, thing_devices

PATIENCE = 30.0
DEPLOYMENT = "Greengrass V2 Effective Deployment Status Change"
COMPONENT = "Greengrass V2 Installed Component Status Change"

pytestmark = devices.needs_mosquitto


class Listener:
    """A rule with a queue and a group of logs behind it, made with an unmodified boto3."""

    def __init__(self, cloud: running_cloud.RunningCloud, name: str, **pattern: Any) -> None:
        self._sqs, self._logs = cloud.client("sqs"), cloud.client("logs")
        self._group = f"/aws/events/{name}"
        self._logs.create_log_group(logGroupName=self._group)
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        events = cloud.client("events")
        arns = (
            f"arn:aws:sqs:eu-west-1:123456789012:{name}",
            f"arn:aws:logs:eu-west-1:123456789012:log-group:{self._group}",
        )
        for number, arn in enumerate(arns):
            # One rule for each: they are independent of each other.
            rule = f"{name}-{number}"
            events.put_rule(
                Name=rule, EventPattern=json.dumps({"source": ["aws.greengrass"], **pattern})
            )
            events.put_targets(Rule=rule, Targets=[{"Id": "it", "Arn": arn}])
        self._heard: list[dict[str, Any]] = []

    def heard(self) -> list[dict[str, Any]]:
        """Return the events that have come into the queue."""
        received = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
        self._heard += [json.loads(each["Body"]) for each in received.get("Messages", ())]
        return self._heard

    def logged(self) -> list[dict[str, Any]]:
        """Return the events that have come into the logs."""
        found = self._logs.filter_log_events(logGroupName=self._group)["events"]
        return [json.loads(each["message"]) for each in found]


class Site:
    """A group with two devices in the cloud that is shared."""

    def __init__(self, cloud: running_cloud.RunningCloud, directory: Path) -> None:
        self.cloud = cloud
        self.fleet = core_devices.Fleet(cloud, directory, "heard")
        self.good, self.bad = self.fleet.add(["heard-good", "heard-bad"])
        self.fleet.publish("7.0.0")


@pytest.fixture(scope="module")
def site(cloud: running_cloud.RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Yield a site."""
    return Site(cloud, tmp_path_factory.mktemp("events"))


async def test_a_group_deployment_is_heard_of(site: Site) -> None:
    """Each device's end is an event, and so is a component that broke, with its device."""
    deployments = Listener(site.cloud, "deployments", **{"detail-type": [DEPLOYMENT]})
    broken = Listener(site.cloud, "broken", **{"detail-type": [COMPONENT]})
    fleet = [
        core_devices.CoreDevice(site.cloud, site.good),
        core_devices.CoreDevice(site.cloud, site.bad, outcome="FAILED"),
    ]
    for device in fleet:
        device.start()
    try:
        async with asyncio.timeout(PATIENCE):
            await core_devices.all_connected(fleet)
        made = await asyncio.to_thread(site.fleet.deploy, "7.0.0")
        await _until(lambda: len(deployments.heard()) >= 2 and broken.heard())
    finally:
        await asyncio.gather(*(device.cut() for device in fleet))
    statuses = {_device(event): event["detail"] for event in deployments.heard()}
    assert {name: each["coreDeviceExecutionStatus"] for name, each in statuses.items()} == {
        "heard-good": "SUCCEEDED",
        "heard-bad": "FAILED",
    }
    assert {each["deploymentId"] for each in statuses.values()} == {made["deploymentId"]}
    (event, *_) = broken.heard()
    assert (event["detail-type"], _device(event)) == (COMPONENT, "heard-bad")
    assert (event["source"], event["region"]) == ("aws.greengrass", "eu-west-1")
    assert event["detail"]["components"] == [
        {
            "componentName": core_devices.COMPONENT,
            "componentVersion": "7.0.0",
            "root": True,
            "lifecycleState": "BROKEN",
            "lifecycleStatusCodes": [],
            "lifecycleStateDetails": "",
        }
    ]
    assert {_device(event) for event in deployments.logged()} == {"heard-good", "heard-bad"}


async def test_a_thing_deployment_is_heard_of(site: Site) -> None:
    """The deployment of a thing that succeeds is COMPLETED, as ListEffectiveDeployments says."""
    completed = Listener(
        site.cloud,
        "completed",
        detail={"coreDeviceExecutionStatus": ["COMPLETED"]},
    )
    device = thing_devices.ThingDevice(site.cloud, site.good)
    device.start()
    try:
        async with asyncio.timeout(PATIENCE):
            await device.connected.wait()
        made = await asyncio.to_thread(site.fleet.deploy, "7.0.0", thing=site.good.thing)
        await _until(completed.heard)
    finally:
        await device.cut()
    (event, *_) = completed.heard()
    assert event["detail"]["deploymentId"] == made["deploymentId"]
    assert event["detail"]["deployment-id"] == made["deploymentId"]
    assert _device(event) == site.good.thing


def _device(event: dict[str, Any]) -> str:
    (resource,) = event["resources"]
    assert resource.startswith("arn:aws:greengrass:eu-west-1:123456789012:coreDevices:")
    return str(resource).rpartition(":")[2]


async def _until(condition: Any) -> None:
    await asyncio.to_thread(running_cloud.wait_for, condition, "the events came", PATIENCE)
