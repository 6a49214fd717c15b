"""The running cloud answers devices in the shapes that are pinned for the nucleus's tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import core_devices, devices, running_cloud

WIRE = Path(__file__).parents[2] / "cases" / "wire"
ALIAS = "devices"
DATA_PLANE = "/greengrass/v2"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "credentials.iot.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}

pytestmark = devices.needs_mosquitto


def pinned(name: str) -> Any:
    """Return a pinned document."""
    return json.loads((WIRE / f"{name}.json").read_text(encoding="utf-8"))


def shape(value: Any) -> Any:
    """Return the names and kinds of a document, without its values."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[core_devices.Fleet]:
    """Yield a group below another one, to which a component is deployed."""
    directory = tmp_path_factory.mktemp("wire")
    with running_cloud.running(directory / "cloud") as cloud:
        iot, s3 = cloud.client("iot"), cloud.client("s3")
        iot.create_thing_group(thingGroupName="plant")
        made = core_devices.Fleet(cloud, directory, "line1", parent="plant")
        s3.create_bucket(
            Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        s3.put_object(Bucket="artifacts", Key="edge.zip", Body=b"zip")
        artifact = {"Uri": "s3://artifacts/edge.zip", "Unarchive": "ZIP"}
        platform = {"os": "linux", "runtime": "*"}
        made.publish(Manifests=[{"Platform": platform, "Artifacts": [artifact]}])
        role = cloud.client("iam").create_role(
            RoleName="devices", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
        iot.create_role_alias(roleAlias=ALIAS, roleArn=role["Role"]["Arn"])
        yield made


@pytest.fixture(scope="module")
def deployment(fleet: core_devices.Fleet) -> str:
    """Return the id of a deployment whose document is too large for a job."""
    merge = json.dumps({"filling": "x" * 40_000})
    answer = fleet.deploy(update={"merge": merge})
    return str(answer["deploymentId"])


@pytest.fixture(scope="module")
def plane(fleet: core_devices.Fleet, deployment: str) -> Iterator[core_devices.Plane]:
    """Yield a device's connection to the data plane."""
    (identity,) = fleet.add(["press-01"])
    port = fleet.cloud.endpoints.device_port
    with core_devices.data_plane("127.0.0.1", port, identity.context) as found:
        yield found


def test_groups(plane: core_devices.Plane) -> None:
    """A device is told its groups and those above them."""
    answer = plane.ask("GET", f"{DATA_PLANE}/coreDevices/press-01/thingGroups")
    assert answer == pinned("thing_groups")


def test_candidates(plane: core_devices.Plane) -> None:
    """A component is resolved to a version with its recipe, which names the artifact's digest."""
    asked = {**pinned("resolve_request")}
    asked["componentCandidates"] = [
        {"componentName": core_devices.COMPONENT, "versionRequirements": {"line1": "=1.0.0"}}
    ]
    answer = plane.ask("POST", f"{DATA_PLANE}/resolveComponentCandidates", asked)
    (found,), (expected,) = (
        each["resolvedComponentVersions"] for each in (answer, pinned("resolve_answer"))
    )
    assert set(shape(expected)) <= set(shape(found))
    recipes = [json.loads(base64.b64decode(each["recipe"])) for each in (found, expected)]
    artifacts = [recipe["Manifests"][0]["Artifacts"][0] for recipe in recipes]
    assert set(artifacts[1]) <= set(artifacts[0])


def test_no_candidate(plane: core_devices.Plane) -> None:
    """A range that no version fits is refused in the words that nuclei look for."""
    asked = {**pinned("resolve_request")}
    asked["componentCandidates"] = [
        {"componentName": core_devices.COMPONENT, "versionRequirements": {"line1": "=9.0.0"}}
    ]
    answer = plane.ask("POST", f"{DATA_PLANE}/resolveComponentCandidates", asked, status=404)
    assert set(pinned("resolve_refusal")) <= set(answer)
    assert "no usable version" in answer["message"]


def test_artifacts(plane: core_devices.Plane) -> None:
    """An artifact is answered by a URL."""
    arn = f"arn:aws:greengrass:eu-west-1:123456789012:components:{core_devices.COMPONENT}"
    answer = plane.ask("GET", f"{DATA_PLANE}/components/{arn}:versions:1.0.0/artifacts/edge.zip")
    assert shape(answer) == shape(pinned("artifact_answer"))


def test_large_deployments(plane: core_devices.Plane, deployment: str) -> None:
    """The document of a large deployment is answered by a URL with its digest."""
    path = f"{DATA_PLANE}/coreDevices/press-01/deployments/{deployment}/configuration"
    answer = plane.ask("GET", path)
    assert shape(answer) == shape(pinned("configuration_answer"))


@pytest.mark.parametrize(
    ("thing", "value", "most"),
    [(None, 1, 31), (None, "ü", 31), ("press-01", 1, 7), ("press-01", "ü", 7)],
)
def test_deployments_of_any_size(
    fleet: core_devices.Fleet,
    plane: core_devices.Plane,
    thing: str | None,
    value: object,
    most: int,
) -> None:
    """Whatever a configuration holds, its document is carried whole or by reference."""
    for size in range(most - 3, most + 2):
        entry = len(f'"k000":{json.dumps(value, ensure_ascii=False)},'.encode())
        merge = {f"k{number:03x}": value for number in range(size * 1024 // entry)}
        update = {"merge": json.dumps(merge, ensure_ascii=False)}
        deployment = fleet.deploy(update=update, thing=thing)["deploymentId"]
        found = fleet.cloud.client("greengrassv2").get_deployment(deploymentId=deployment)
        assert found["deploymentStatus"] == "ACTIVE"
        path = f"{DATA_PLANE}/coreDevices/press-01/deployments/{deployment}/configuration"
        assert set(plane.ask("GET", path)) == set(pinned("configuration_answer"))


def test_credentials(plane: core_devices.Plane) -> None:
    """Credentials are answered with the time of their end."""
    answer = plane.ask("GET", f"/role-aliases/{ALIAS}/credentials")
    assert shape(answer) == shape(pinned("credentials_answer"))
