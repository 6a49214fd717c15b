"""Ensuring a deployment and waiting for devices, against a small cloud that answers as told."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from verge.fleet import deploy, deployments, targets

TARGET = targets.Target(
    targets.GROUP, "line", ("one", "two"), {"app": targets.Component("1.0.0", {"a": "1"})}
)


class Cloud:
    """Answers the operations that `deploy` uses; `told` holds the devices' words by name."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        self.told: dict[str, tuple[str, str, str]] = {}
        """Device → status of the newest deployment, version and state of `app`."""
        self.status = "ACTIVE"
        self.exceptions = SimpleNamespace()

    def client(self, service: str) -> Cloud:
        """Return itself: there is one service."""
        assert service == "greengrassv2"
        return self

    def arn(self, service: str, resource: str) -> str:
        """Return an ARN."""
        return f"arn:aws:{service}:eu-west-1:123456789012:{resource}"

    def create_deployment(self, **document: Any) -> dict[str, Any]:
        """Keep a deployment."""
        self.made.append(document | {"deploymentId": f"d{len(self.made) + 1}"})
        return self.made[-1]

    def list_deployments(self, targetArn: str, historyFilter: str) -> dict[str, Any]:  # noqa: N803
        """Return the newest deployment."""
        assert historyFilter == "LATEST_ONLY"
        found = [item for item in self.made if item["targetArn"] == targetArn]
        return {"deployments": found[-1:]}

    def get_deployment(self, deploymentId: str) -> dict[str, Any]:  # noqa: N803
        """Return a deployment."""
        (found,) = (item for item in self.made if item["deploymentId"] == deploymentId)
        return found | {"deploymentStatus": self.status}

    def get_paginator(self, operation: str) -> SimpleNamespace:
        """Return the pages of what devices have told."""

        def paginate(coreDeviceThingName: str, **_: str) -> Iterator[dict[str, Any]]:  # noqa: N803
            status, version, state = self.told.get(coreDeviceThingName, ("", "", ""))
            if operation == "list_effective_deployments":
                item = {
                    "deploymentId": f"d{len(self.made)}",
                    "coreDeviceExecutionStatus": status,
                    "reason": "no voice",
                    "statusDetails": {"errorStack": ["DEPLOYMENT_FAILURE"]},
                }
                yield {"effectiveDeployments": [item] if status else []}
            else:
                item = {
                    "componentName": "app",
                    "componentVersion": version,
                    "lifecycleState": state,
                }
                yield {"installedComponents": [item] if version else []}

        return SimpleNamespace(paginate=paginate)


@pytest.fixture
def cloud() -> Cloud:
    """Return a cloud without deployments."""
    return Cloud()


def service(cloud: Cloud, *steps: dict[str, tuple[str, str, str]]) -> deploy.Deployments:
    """Return the deployments of a cloud in which each wait brings the next step."""
    coming = iter(steps)

    def sleep(_: float) -> None:
        cloud.told.update(next(coming))

    return deploy.Deployments(cloud, sleep)  # type: ignore[arg-type]


GOOD = ("SUCCEEDED", "1.0.0", "RUNNING")


def test_the_first_deployment_is_made(cloud: Cloud) -> None:
    """It names target, components and the way back."""
    made = service(cloud).ensure(TARGET)
    assert made is not None
    assert made.created
    assert cloud.made[0]["targetArn"].endswith(":thinggroup/line")
    assert cloud.made[0]["components"] == deployments.next_components(TARGET, {})
    assert cloud.made[0]["deploymentPolicies"]["failureHandlingPolicy"] == "ROLLBACK"


@pytest.mark.parametrize(
    ("told", "status", "created"),
    [
        ({"one": GOOD, "two": GOOD}, "ACTIVE", False),
        ({"one": GOOD}, "ACTIVE", False),
        ({"one": GOOD, "two": ("IN_PROGRESS", "", "")}, "ACTIVE", False),
        ({"one": GOOD, "two": ("FAILED", "0.9.0", "RUNNING")}, "ACTIVE", True),
        ({"one": ("SUCCEEDED", "1.0.1", "RUNNING"), "two": GOOD}, "ACTIVE", True),
        ({"one": ("SUCCEEDED", "1.0.0", "BROKEN"), "two": GOOD}, "ACTIVE", True),
        ({"one": ("SUCCEEDED", "1.0.0", "STARTING"), "two": GOOD}, "ACTIVE", False),
        ({"one": GOOD, "two": GOOD}, "CANCELED", True),
    ],
    ids=[
        "all is well",
        "one has not spoken",
        "one is at it",
        "one failed",
        "one was changed by hand",
        "one broke",
        "one was just starting",
        "it was cancelled",
    ],
)
def test_it_is_made_again_only_if_it_does_not_hold(
    cloud: Cloud, told: dict[str, tuple[str, str, str]], status: str, created: bool
) -> None:
    """The same wish is not deployed twice, unless a device failed at it or left it."""
    service(cloud).ensure(TARGET)
    cloud.told, cloud.status = told, status
    again = service(cloud).ensure(TARGET)
    assert again is not None
    assert again.created is created


def test_nothing_is_deployed_to_a_group_that_wants_nothing(cloud: Cloud) -> None:
    """An empty wish makes a deployment only where there was something before."""
    nothing = targets.Target(targets.GROUP, "line", ("one",), {})
    assert service(cloud).ensure(nothing) is None
    service(cloud).ensure(TARGET)
    emptied = service(cloud).ensure(nothing)
    assert emptied is not None
    assert cloud.made[-1]["components"] == {}


def test_waiting_ends_when_all_have_reported(cloud: Cloud) -> None:
    """Silence, work in progress and an old version are waited for."""
    waiting: list[str] = []
    found = service(
        cloud,
        {"one": ("IN_PROGRESS", "", "")},
        {"one": ("SUCCEEDED", "0.9.0", "RUNNING"), "two": GOOD},
        {"one": GOOD},
    )
    made = found.ensure(TARGET)
    assert made is not None
    reports = found.wait(made, now=waiting.append)
    assert {name: item.status for name, item in reports.items()} == {
        "one": "SUCCEEDED",
        "two": "SUCCEEDED",
    }
    assert waiting == ["Waiting for one, two", "Waiting for one, two", "Waiting for one"]


def test_a_failure_is_told_once_all_have_spoken(cloud: Cloud) -> None:
    """The device, its status, its reason and its error types are named."""
    found = service(
        cloud,
        {"one": ("FAILED", "0.9.0", "RUNNING")},
        {"two": ("IN_PROGRESS", "", "")},
        {"two": GOOD},
    )
    made = found.ensure(TARGET)
    assert made is not None
    with pytest.raises(deploy.DeploymentError, match="cannot deploy to line") as caught:
        found.wait(made, now=lambda _: None)
    assert "one: FAILED: no voice [DEPLOYMENT_FAILURE]" in str(caught.value)
    assert list(caught.value.reports) == ["one"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "has not reported the deployment"),
        ({"one": ("SUCCEEDED", "0.9.0", "RUNNING")}, "SUCCEEDED, but app 0.9.0 is RUNNING"),
        ({"one": ("IN_PROGRESS", "", "")}, "IN_PROGRESS, but app is not reported"),
    ],
    ids=["silent", "another version", "at it"],
)
def test_patience_has_an_end(
    cloud: Cloud, told: dict[str, tuple[str, str, str]], words: str
) -> None:
    """Whoever has not come to it is named with what is known."""
    cloud.told = {"two": GOOD, **told}
    found = service(cloud)
    made = found.ensure(TARGET)
    assert made is not None
    with pytest.raises(deploy.DeploymentError) as caught:
        found.wait(made, now=lambda _: None, seconds=-1)
    assert f"one: {words}" in str(caught.value)
