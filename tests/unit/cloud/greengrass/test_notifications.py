"""Events of deployments that ended and of components that came to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support import cloud_doubles
from tests.unit.cloud.greengrass import conftest

if TYPE_CHECKING:
    from tests.unit.cloud.greengrass.conftest import Cloud

LINE = cloud_doubles.group_arn("line1")


def test_failing_components(cloud: Cloud) -> None:
    """A component that comes to fail is told once, until it fails in another way or version."""

    def told(state: str, sequence: int, version: str = "1.0.0") -> list[str]:
        cloud.events.sent.clear()
        broken = conftest.component("a", state, version=version)
        cloud.report("press", sequenceNumber=sequence, components=[broken])
        return [
            each["lifecycleState"]
            for event in cloud.events.sent
            for each in event.detail["components"]
        ]

    assert told("RUNNING", 1) == []
    assert told("ERRORED", 2) == ["ERRORED"]
    assert told("ERRORED", 3) == []
    assert told("BROKEN", 4) == ["BROKEN"]
    assert told("BROKEN", 4) == []
    assert told("BROKEN", 5, "1.1.0") == ["BROKEN"]
    assert told("RUNNING", 6, "1.1.0") == []
    assert told("BROKEN", 7, "1.1.0") == ["BROKEN"]
    assert cloud.events.sent[0].resources == (
        "arn:aws:greengrass:eu-west-1:123456789012:coreDevices:press",
    )


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "REJECTED", "CANCELED"])
def test_ended_deployments(cloud: Cloud, status: str) -> None:
    """A deployment that ended on a device is told with its reason; that it goes on is not."""
    cloud.things.add("line1", "press")
    cloud.publish("a")
    made = cloud.deploy(LINE, "a")
    cloud.jobs.step(made["iotJobId"], "press", "IN_PROGRESS")
    cloud.jobs.step(made["iotJobId"], "press", "TIMED_OUT")
    assert cloud.events.sent == []
    details: Any = {
        "deployment-failure-cause": "no space",
        "deployment-error-stack": '["DEPLOYMENT_FAILURE"]',
        "deployment-error-types": '["DEVICE_ERROR"]',
    }
    cloud.jobs.step(made["iotJobId"], "press", status, **details)
    (event,) = cloud.events.sent
    assert event.detail == {
        "deploymentId": made["deploymentId"],
        "deployment-id": made["deploymentId"],
        "coreDeviceExecutionStatus": status,
        "statusDetails": {"errorStack": ["DEPLOYMENT_FAILURE"], "errorTypes": ["DEVICE_ERROR"]},
        "reason": "no space",
    }
