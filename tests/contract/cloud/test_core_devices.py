"""Core devices as boto3 sees them: a device that joins, reports and takes a deployment."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.contract.cloud import account as accounts
from tests.support import devices

Account = accounts.Account
refused = accounts.refused

pytestmark = [
    accounts.local_only("a device of its own would have to be registered and run"),
    devices.needs_mosquitto,
]

JOBS = "jobs/$next/namespace-aws-gg-deployment/get"


class Device:
    """A core device at the level of its protocol: a certificate and an MQTT connection."""

    def __init__(self, account: Account, directory: Path) -> None:
        self.account = account
        self.name, self.arn = account.thing()
        self.group_name, self.group = account.group(self.name)
        self._sequence = 0
        identity = self._join(directory)
        assert account.local is not None
        endpoints = account.local.endpoints
        self.mqtt = devices.Client(
            identity.context(Path(endpoints.ca_certificate)), endpoints.mqtt_port, self.name
        )
        self.mqtt.connect()
        self.mqtt.subscribe(self._topic(f"{JOBS}/accepted"))

    def _join(self, directory: Path) -> devices.Identity:
        iot, key = self.account.client("iot"), ec.generate_private_key(ec.SECP256R1())
        made = iot.create_certificate_from_csr(
            certificateSigningRequest=devices.request(key), setAsActive=True
        )
        policy = self.account.name("policy")
        iot.create_policy(policyName=policy, policyDocument=json.dumps(devices.OWN_TOPICS))
        iot.attach_policy(policyName=policy, target=made["certificateArn"])
        iot.attach_thing_principal(thingName=self.name, principal=made["certificateArn"])
        return devices.store(directory, self.name, made["certificatePem"], key)

    def report(self, **members: Any) -> None:
        """Send a status message."""
        self._sequence += 1
        message = {
            "ggcVersion": "2.18.0",
            "platform": "linux",
            "architecture": "amd64",
            "runtime": "aws_nucleus_lite",
            "thing": self.name,
            "overallDeviceStatus": "HEALTHY",
            "sequenceNumber": self._sequence,
            "timestamp": round(time.time() * 1000),
            "messageType": "COMPLETE",
            "trigger": "NUCLEUS_LAUNCH",
            "components": [],
            **members,
        }
        self.mqtt.publish(self._topic("greengrassv2/health/json"), json.dumps(message).encode())

    def next_job(self) -> dict[str, Any]:
        """Ask for the next job; the execution."""
        self.mqtt.publish(self._topic(JOBS), b'{"includeJobDocument": true}')
        _, payload = self.mqtt.receive()
        return dict(json.loads(payload)["execution"])

    def update(self, job: str, status: str, **details: str) -> None:
        """Say how far a job is."""
        topic = self._topic(f"jobs/{job}/namespace-aws-gg-deployment/update")
        body = {"status": status, "statusDetails": details}
        self.mqtt.publish(topic, json.dumps(body).encode())

    def shown(self, **expected: Any) -> dict[str, Any]:
        """Wait until GetCoreDevice shows some members; all of them."""

        def found() -> dict[str, Any] | None:
            answer = self.account.greengrass.list_core_devices(maxResults=100)
            if self.name not in {d["coreDeviceThingName"] for d in answer["coreDevices"]}:
                return None
            device = dict(self.account.greengrass.get_core_device(coreDeviceThingName=self.name))
            return device if expected.items() <= device.items() else None

        return dict(accounts.wait_for(found, f"{self.name} shows {expected}"))

    def effective(self, status: str) -> dict[str, Any]:
        """Wait until the one effective deployment has a status; its entry."""

        def found() -> dict[str, Any] | None:
            (entry,) = self.account.greengrass.list_effective_deployments(
                coreDeviceThingName=self.name
            )["effectiveDeployments"]
            return dict(entry) if entry["coreDeviceExecutionStatus"] == status else None

        return dict(accounts.wait_for(found, f"the deployment is {status}"))

    def _topic(self, rest: str) -> str:
        return f"$aws/things/{self.name}/{rest}"


@pytest.fixture
def device(account: Account, tmp_path: Path) -> Iterator[Device]:
    """A device that is connected and has not reported."""
    made = Device(account, tmp_path)
    yield made
    made.mqtt.close()


def test_status(account: Account, device: Device) -> None:
    """What a device reports is shown, alone and in the filtered list."""
    with refused("ResourceNotFoundException"):
        account.greengrass.get_core_device(coreDeviceThingName=device.name)
    device.report(overallDeviceStatus="UNHEALTHY")
    shown = device.shown(status="UNHEALTHY")
    assert shown["coreVersion"] == "2.18.0"
    assert (shown["platform"], shown["architecture"]) == ("linux", "amd64")
    assert shown["runtime"] == "aws_nucleus_lite"
    assert shown["lastStatusUpdateTimestamp"]
    for filters in ({"status": "UNHEALTHY"}, {"runtime": "aws_nucleus_lite"}):
        listed = account.greengrass.list_core_devices(**filters)["coreDevices"]
        (entry,) = [each for each in listed if each["coreDeviceThingName"] == device.name]
        assert entry["platform"] == "linux"
    healthy = account.greengrass.list_core_devices(status="HEALTHY")["coreDevices"]
    assert device.name not in {each["coreDeviceThingName"] for each in healthy}


def test_group_deployment(account: Account, device: Device) -> None:
    """A group's deployment goes from QUEUED to SUCCEEDED, and the device is found by its group."""
    component = account.publish().split(":")[-3]
    device.report()
    device.shown(status="HEALTHY")
    made = account.deploy(
        device.group, {component: {"componentVersion": "1.0.0"}}, deploymentName="base"
    )
    execution = accounts.wait_for(device.next_job, "a job")
    assert execution["jobId"] == made["iotJobId"]
    assert execution["jobDocument"]["deploymentId"] == made["deploymentId"]
    assert execution["jobDocument"]["components"][component]["version"] == "1.0.0"
    entry = device.effective("QUEUED")
    assert entry["deploymentName"] == "base"
    assert (entry["iotJobId"], entry["iotJobArn"]) == (made["iotJobId"], made["iotJobArn"])
    device.update(made["iotJobId"], "IN_PROGRESS")
    device.effective("IN_PROGRESS")
    found = {"thingGroupArn": device.group}
    assert account.greengrass.list_core_devices(**found)["coreDevices"] == []
    device.update(made["iotJobId"], "SUCCEEDED")
    entry = device.effective("SUCCEEDED")
    assert entry["targetArn"] == device.group
    (listed,) = account.greengrass.list_core_devices(**found)["coreDevices"]
    assert listed["coreDeviceThingName"] == device.name


def test_failed_deployment(account: Account, device: Device) -> None:
    """A failed deployment shows the device's reason and errors."""
    device.report()
    device.shown(status="HEALTHY")
    job = account.deploy(device.group, {})["iotJobId"]
    device.update(
        job,
        "FAILED",
        **{
            "detailed-deployment-status": "FAILED_NO_STATE_CHANGE",
            "deployment-failure-cause": "no room",
            "deployment-error-stack": '["DEPLOYMENT_FAILURE"]',
            "deployment-error-types": '["DEVICE_ERROR"]',
        },
    )
    entry = device.effective("FAILED")
    assert entry["reason"] == "no room"
    assert entry["statusDetails"] == {
        "errorStack": ["DEPLOYMENT_FAILURE"],
        "errorTypes": ["DEVICE_ERROR"],
    }


def test_thing_deployment(account: Account, device: Device) -> None:
    """A thing's own deployment comes by its shadow and ends COMPLETED."""
    shadow = "shadow/name/AWSManagedGreengrassV2Deployment"
    device.mqtt.subscribe(f"$aws/things/{device.name}/{shadow}/update/accepted")
    device.report()
    device.shown(status="HEALTHY")
    made = account.deploy(device.arn, {})
    _, payload = device.mqtt.receive()
    desired = json.loads(payload)["state"]["desired"]
    document = json.loads(desired["fleetConfig"])
    assert document["deploymentId"] == made["deploymentId"]
    device.effective("QUEUED")
    reported = {
        "fleetConfigurationArnForStatus": document["configurationArn"],
        "status": "SUCCEEDED",
    }
    device.mqtt.publish(
        f"$aws/things/{device.name}/{shadow}/update",
        json.dumps({"state": {"reported": reported}}).encode(),
    )
    device.effective("COMPLETED")
    shown = account.greengrass.get_deployment(deploymentId=made["deploymentId"])
    assert shown["deploymentStatus"] == "COMPLETED"


def test_pages(account: Account, device: Device, tmp_path: Path) -> None:
    """Devices and their deployments are listed over pages, each once."""
    other = Device(account, tmp_path)
    try:
        for each in (device, other):
            each.report()
            each.shown(status="HEALTHY")
    finally:
        other.mqtt.close()
    page = {"PaginationConfig": {"PageSize": 1}}
    pages = account.greengrass.get_paginator("list_core_devices").paginate(**page)
    named = [each["coreDeviceThingName"] for found in pages for each in found["coreDevices"]]
    assert named == sorted(set(named))
    assert {device.name, other.name} <= set(named)
    made = [account.deploy(target, {})["deploymentId"] for target in (device.group, device.arn)]
    accounts.wait_for(device.next_job, "a job")
    pages = account.greengrass.get_paginator("list_effective_deployments").paginate(
        coreDeviceThingName=device.name, **page
    )
    listed = [each["deploymentId"] for found in pages for each in found["effectiveDeployments"]]
    assert listed == made[::-1]


def test_installed_components(account: Account, device: Device) -> None:
    """What is installed is listed with state, reason and where it came from, over pages."""
    arn = account.arn("greengrass", f"configuration:thinggroup/{device.group_name}:1")
    made = account.deploy(device.group, {})["deploymentId"]
    common = {"version": "1.0.0", "fleetConfigArns": [arn]}
    details = {"statusCodes": ["RUN_ERROR"], "statusReason": "it ended with 1"}
    device.report(
        overallDeviceStatus="UNHEALTHY",
        components=[
            {**common, "componentName": "a", "status": "RUNNING", "isRoot": True},
            {**common, "componentName": "b", "status": "FINISHED", "isRoot": False},
            {
                **common,
                "componentName": "c",
                "status": "BROKEN",
                "isRoot": True,
                "componentStatusDetails": details,
            },
        ],
    )
    device.shown(status="UNHEALTHY")
    pages = account.greengrass.get_paginator("list_installed_components").paginate(
        coreDeviceThingName=device.name, topologyFilter="ALL", PaginationConfig={"PageSize": 2}
    )
    found = {c["componentName"]: c for page in pages for c in page["installedComponents"]}
    assert list(found) == ["a", "b", "c"]
    assert [c["lifecycleState"] for c in found.values()] == ["RUNNING", "FINISHED", "BROKEN"]
    assert [c["isRoot"] for c in found.values()] == [True, False, True]
    assert found["c"]["lifecycleStateDetails"] == "it ended with 1"
    assert found["c"]["lifecycleStatusCodes"] == ["RUN_ERROR"]
    assert {c["lastInstallationSource"] for c in found.values()} == {made}
    assert all(c["componentVersion"] == "1.0.0" for c in found.values())
    assert all(c["lastReportedTimestamp"] for c in found.values())
    assert all(c["lastStatusChangeTimestamp"] for c in found.values())
    roots = account.greengrass.list_installed_components(coreDeviceThingName=device.name)
    assert [c["componentName"] for c in roots["installedComponents"]] == ["a", "c"]


def test_client_devices(account: Account, device: Device) -> None:
    """Client devices are associated by name, listed and taken away."""
    greengrass, core = account.greengrass, {"coreDeviceThingName": device.name}
    device.report()
    device.shown(status="HEALTHY")
    things = sorted(account.thing()[0] for _ in range(3))
    entries = [{"thingName": thing} for thing in things]
    unknown = [{"thingName": account.name("none")}]
    answer = greengrass.batch_associate_client_device_with_core_device(
        **core, entries=entries + unknown
    )
    (error,) = answer["errorEntries"]
    assert error["thingName"] == unknown[0]["thingName"]
    assert error["code"]
    assert error["message"]
    pages = greengrass.get_paginator("list_client_devices_associated_with_core_device").paginate(
        **core, PaginationConfig={"PageSize": 2}
    )
    found = [each for page in pages for each in page["associatedClientDevices"]]
    assert [each["thingName"] for each in found] == things
    assert all(each["associationTimestamp"] for each in found)
    answer = greengrass.batch_disassociate_client_device_from_core_device(
        **core, entries=entries + unknown
    )
    (error,) = answer["errorEntries"]
    assert error["thingName"] == unknown[0]["thingName"]
    listed = greengrass.list_client_devices_associated_with_core_device(**core)
    assert listed["associatedClientDevices"] == []


def test_removal(account: Account, device: Device) -> None:
    """A removed core device loses its record and tags; the thing stays."""
    arn = account.arn("greengrass", f"coreDevices:{device.name}")
    device.report()
    device.shown(status="HEALTHY")
    account.greengrass.tag_resource(resourceArn=arn, tags={"team": "edge"})
    assert device.shown()["tags"] == {"team": "edge"}
    account.greengrass.delete_core_device(coreDeviceThingName=device.name)
    with refused("ResourceNotFoundException"):
        account.greengrass.get_core_device(coreDeviceThingName=device.name)
    with refused("ResourceNotFoundException"):
        account.greengrass.list_tags_for_resource(resourceArn=arn)
    assert account.client("iot").describe_thing(thingName=device.name)
    device.report()
    assert "tags" not in device.shown(status="HEALTHY")
