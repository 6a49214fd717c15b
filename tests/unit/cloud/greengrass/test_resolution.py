"""Which version a device gets, and what it may read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import cloud_doubles
from tests.unit.cloud.greengrass import conftest

Cloud = conftest.Cloud
LINUX = {"os": "linux", "architecture": "amd64"}


def resolve(cloud: Cloud, name: str, *ranges: str, **attributes: str) -> dict[str, Any]:
    """Resolve one component for a device."""
    (found,) = cloud.client.resolve_component_candidates(
        platform={"name": "linux", "attributes": {**LINUX, **attributes}},
        componentCandidates=[
            {
                "componentName": name,
                "versionRequirements": {f"requester{n}": text for n, text in enumerate(ranges)},
            }
        ],
    )["resolvedComponentVersions"]
    return dict(found)


@pytest.mark.parametrize(
    ("ranges", "version"),
    [
        (["*"], "1.10.0"),
        ([">=1.0.0 <1.10.0"], "1.9.0"),
        (["1.0.0"], "1.0.0"),
        ([">=1.0.0", "<1.10.0"], "1.9.0"),
        (["~1.9.0 || 1.0.0"], "1.9.0"),
    ],
)
def test_highest(cloud: Cloud, ranges: list[str], version: str) -> None:
    """The highest version that all requirements allow is the answer, with its recipe."""
    for each in ("1.10.0", "1.0.0", "1.9.0"):
        cloud.publish("c", each)
    found = resolve(cloud, "c", *ranges)
    assert found["componentVersion"] == version
    assert json.loads(found["recipe"])["ComponentVersion"] == version
    assert found["arn"].endswith(f":components:c:versions:{version}")
    assert found["vendorGuidance"] == "ACTIVE"


@pytest.mark.parametrize(
    ("ranges", "attributes", "code", "said"),
    [
        (["2.0.0"], {}, "ResourceNotFoundException", "no usable version"),
        (["1.0.0"], {"os": "darwin"}, "ResourceNotFoundException", "claim platform"),
        (["1.0.0", "1.1.0"], {}, "ConflictException", "exclude one another"),
        ([">>1"], {}, "ValidationException", "version range"),
    ],
)
def test_refusals(
    cloud: Cloud, ranges: list[str], attributes: dict[str, str], code: str, said: str
) -> None:
    """A refusal has the words that nuclei look for."""
    cloud.publish("c", "1.0.0")
    cloud.publish("c", "1.1.0")
    with conftest.refused(code) as caught:
        resolve(cloud, "c", *ranges, **attributes)
    assert said in str(caught.value)


def test_older_version_for_the_platform(cloud: Cloud) -> None:
    """Where the newest version is for other platforms, the newest for this one is the answer."""
    cloud.publish("c", "1.0.0")
    cloud.publish("c", "2.0.0", platform={"os": "windows"})
    assert resolve(cloud, "c", "*")["componentVersion"] == "1.0.0"


def test_versions_in_work_are_left_out(cloud: Cloud) -> None:
    """Only DEPLOYABLE versions are resolved."""
    cloud.publish("c", "1.0.0")
    cloud.service.stop()
    cloud.client.create_component_version(inlineRecipe=conftest.recipe("c", "2.0.0"))
    assert resolve(cloud, "c", "*")["componentVersion"] == "1.0.0"


def test_provided_components(cloud: Cloud) -> None:
    """What AWS provides is resolved under its account, unless there is one of that name here."""
    name = "aws.greengrass.TokenExchangeService"
    assert ":aws:components:" in resolve(cloud, name, ">=2.0.0 <3.0.0")["arn"]
    cloud.publish(name, "2.0.9")
    assert ":123456789012:components:" in resolve(cloud, name, ">=2.0.0 <3.0.0")["arn"]


def test_reach(cloud: Cloud) -> None:
    """A device reads what its deployments bring and need, and nothing else."""
    cloud.things.add("plant")
    cloud.things.add("line", "press", parent="plant")
    cloud.things.add("other", "oven")
    for name, needs in {"app": {"lib": ">=1.0.0"}, "lib": {"base": "*"}, "base": {}}.items():
        cloud.publish(name, artifacts={"f": name.encode()}, dependencies=needs)
    cloud.publish("lib", "0.9.0", artifacts={"f": b"old"})
    cloud.publish("stranger", artifacts={"f": b"x"})
    cloud.deploy(cloud_doubles.group_arn("plant"), "app")
    service = cloud.service
    readable = {
        key for _, key in cloud.objects.contents if service.may_read("press", "bucket", key)
    }
    assert readable == {"app/1.0.0/f", "lib/1.0.0/f", "base/1.0.0/f"}
    assert service.may_read("oven", "bucket", "app/1.0.0/f") is False
    assert service.may_read("press", "bucket", "nobody's") is None
    named = [name for name in ("app", "lib", "base") if service.may_resolve("press", name)]
    assert named == ["app", "lib", "base"]
    assert not service.may_resolve("press", "stranger")
    assert not service.may_resolve("oven", "app")
    assert service.may_resolve("oven", "aws.greengrass.Nucleus")


def test_reach_follows_changes(cloud: Cloud) -> None:
    """New deployments, deleted ones and group membership count at once."""
    cloud.things.add("line", "press")
    cloud.publish("c", artifacts={"f": b"x"})
    key = "c/1.0.0/f"
    assert cloud.service.may_read("press", "bucket", key) is False
    made = cloud.deploy(cloud_doubles.group_arn("line"), "c")
    assert cloud.service.may_read("press", "bucket", key) is True
    cloud.things.remove("line", "press")
    assert cloud.service.may_read("press", "bucket", key) is False
    cloud.things.add("line", "press")
    assert cloud.service.may_read("press", "bucket", key) is True
    cloud.client.cancel_deployment(deploymentId=made["deploymentId"])
    assert cloud.service.may_read("press", "bucket", key) is True
    cloud.client.delete_deployment(deploymentId=made["deploymentId"])
    assert cloud.service.may_read("press", "bucket", key) is False


def test_dependency_without_version(cloud: Cloud) -> None:
    """A dependency that is not published yet may be asked for, to be told that it is missing."""
    cloud.things.add("line", "press")
    cloud.publish("app", dependencies={"later": "*"})
    cloud.deploy(cloud_doubles.thing_arn("press"), "app")
    assert cloud.service.may_resolve("press", "later")
    assert not cloud.service.may_resolve("oven", "later")
