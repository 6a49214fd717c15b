"""Component versions: registration, digests, reading, removal."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
import yaml

from tests.unit.cloud.greengrass import conftest
from verge.recipe import loading

Cloud = conftest.Cloud
refused = conftest.refused
ARN = "arn:aws:greengrass:eu-west-1:123456789012:components:"


def test_digests(cloud: Cloud) -> None:
    """A version becomes DEPLOYABLE with the base64 SHA-256 of each artifact in its recipe."""
    uri = cloud.objects.put("bucket", "c/1/a.zip", b"content")
    made = cloud.client.create_component_version(inlineRecipe=conftest.recipe("c", artifacts=[uri]))
    assert made["status"]["componentState"] == "REQUESTED"
    assert made["status"]["message"] == "NONE"
    assert cloud.settle(made["arn"])["componentState"] == "DEPLOYABLE"
    stored = json.loads(cloud.client.get_component(arn=made["arn"])["recipe"])
    (artifact,) = stored["Manifests"][0]["Artifacts"]
    assert artifact["Digest"] == base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    assert artifact["Algorithm"] == "SHA-256"
    assert artifact["Uri"] == uri


def test_artifact_that_is_missing(cloud: Cloud) -> None:
    """A recipe whose artifact cannot be read is refused at once and by its URI."""
    uri = "s3://bucket/nowhere.zip"
    with refused("ValidationException") as caught:
        cloud.client.create_component_version(inlineRecipe=conftest.recipe("c", artifacts=[uri]))
    assert f"{uri} = Specified artifact resource cannot be accessed" in str(caught.value)
    assert cloud.client.list_component_versions(arn=ARN + "c")["componentVersions"] == []


def test_artifact_that_goes_away(cloud: Cloud) -> None:
    """A version whose artifact goes away before it was digested ends FAILED with its URI."""
    cloud.service.stop()
    uri = cloud.objects.put("bucket", "c/1/a.zip", b"content")
    arn = cloud.client.create_component_version(inlineRecipe=conftest.recipe("c", artifacts=[uri]))[
        "arn"
    ]
    cloud.objects.contents.clear()
    later = cloud.make()
    later.start()
    try:
        status = cloud.settle(arn)
    finally:
        later.stop()
    assert status["componentState"] == "FAILED"
    assert status["errors"] == {uri: "Specified artifact resource cannot be accessed"}


def test_registration_survives_restart(cloud: Cloud) -> None:
    """What was not digested when the process ended is digested by the next one."""
    cloud.service.stop()
    arn = cloud.client.create_component_version(inlineRecipe=conftest.recipe("c"))["arn"]
    assert cloud.client.describe_component(arn=arn)["status"]["componentState"] == "REQUESTED"
    later = cloud.make()
    later.start()
    try:
        assert cloud.settle(arn)["componentState"] == "DEPLOYABLE"
    finally:
        later.stop()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"{", "JSON", id="broken"),
        pytest.param(b"[1]", "mapping", id="no mapping"),
        pytest.param(b"\xff\xfe", "UTF-8", id="binary"),
        pytest.param(conftest.recipe("a b"), "ComponentName", id="name"),
        pytest.param(conftest.recipe("c", "1.0"), "version", id="version"),
        pytest.param(conftest.recipe("c", dependencies={"d": ">>1"}), "range", id="range"),
        pytest.param(conftest.recipe("c", artifacts=["http://x/y"]), "http://x/y", id="scheme"),
        pytest.param(conftest.recipe("c", artifacts=["s3://bucket"]), "s3://bucket", id="no key"),
        pytest.param(conftest.recipe("c" * 20_000), "16000", id="too large"),
        pytest.param(
            b'{"RecipeFormatVersion":"2020-01-25","ComponentName":"c","ComponentVersion":"1.0.0",'
            b'"Manifests":[{}],"Extra":1}',
            "Extra",
            id="unknown key",
        ),
        pytest.param(
            b'{"RecipeFormatVersion":"2020-01-25","ComponentName":"c","ComponentVersion":"1.0.0"}',
            "Manifests",
            id="no manifest",
        ),
    ],
)
def test_bad_recipes(cloud: Cloud, text: bytes, said: str) -> None:
    """A recipe that cannot be used is refused with the place of its mistake."""
    with refused("ValidationException") as caught:
        cloud.client.create_component_version(inlineRecipe=text)
    assert said in str(caught.value)


def test_lambda_functions(cloud: Cloud) -> None:
    """Lambda functions are refused by name, and so is a request with both sources or none."""
    function = {"lambdaArn": "arn:aws:lambda:eu-west-1:123456789012:function:f:1"}
    for sources in (
        {"lambdaFunction": function},
        {"lambdaFunction": function, "inlineRecipe": conftest.recipe("c")},
        {},
    ):
        with refused("ValidationException"):
            cloud.client.create_component_version(**sources)


def test_yaml(cloud: Cloud) -> None:
    """A recipe can be sent and read as YAML."""
    document = yaml.safe_dump(json.loads(conftest.recipe("c", artifacts=["docker:image"])))
    arn = cloud.client.create_component_version(inlineRecipe=document.encode())["arn"]
    cloud.settle(arn)
    read = cloud.client.get_component(arn=arn, recipeOutputFormat="YAML")
    assert read["recipeOutputFormat"] == "YAML"
    as_json = cloud.client.get_component(arn=arn)
    assert as_json["recipeOutputFormat"] == "JSON"
    assert loading.parse_recipe(read["recipe"]) == loading.parse_recipe(as_json["recipe"])


def test_removed_versions(cloud: Cloud) -> None:
    """A removed version is gone, its artifact belongs to nobody and it can be made again."""
    arn = cloud.publish("c", artifacts={"a.zip": b"1"})
    cloud.things.add("line", "press")
    cloud.deploy("arn:aws:iot:eu-west-1:123456789012:thinggroup/line", "c")
    assert cloud.service.may_read("press", "bucket", "c/1.0.0/a.zip") is True
    cloud.client.delete_component(arn=arn)
    assert cloud.service.may_read("press", "bucket", "c/1.0.0/a.zip") is None
    with refused("ResourceNotFoundException"):
        cloud.client.describe_component(arn=arn)
    cloud.publish("c", artifacts={"a.zip": b"1"})


def test_versions_in_work_stay(cloud: Cloud) -> None:
    """A version whose registration has not ended cannot be removed."""
    cloud.service.stop()
    arn = cloud.client.create_component_version(inlineRecipe=conftest.recipe("c"))["arn"]
    with refused("ConflictException"):
        cloud.client.delete_component(arn=arn)


@pytest.mark.parametrize("name", ["a.zip", "bucket/c/1.0.0/a.zip"])
def test_artifact_urls(cloud: Cloud, name: str) -> None:
    """An artifact's URL reads it from where the request came to."""
    arn = cloud.publish("c", artifacts={"a.zip": b"1"})
    url = cloud.client.get_component_version_artifact(arn=arn, artifactName=name)["preSignedUrl"]
    assert url.startswith(f"{cloud.client.meta.endpoint_url}/bucket/c/1.0.0/a.zip?")
    with refused("ResourceNotFoundException"):
        cloud.client.get_component_version_artifact(arn=arn, artifactName="b.zip")
    cloud.objects.contents.clear()
    with refused("ResourceNotFoundException"):
        cloud.client.get_component_version_artifact(arn=arn, artifactName=name)
