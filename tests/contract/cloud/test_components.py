"""Components as boto3 sees them (contract 5.2 to 5.4)."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
import urllib3
import yaml

from tests.contract.cloud import account as accounts

Account = accounts.Account
refused = accounts.refused


@pytest.fixture(scope="module")
def bucket(account: Account) -> str:
    """A bucket with one object, `a.zip`."""
    name = account.bucket()
    account.client("s3").put_object(Bucket=name, Key="a.zip", Body=b"content")
    return name


def test_registration(account: Account, bucket: str) -> None:
    """A version is REQUESTED first, then DEPLOYABLE with digests in its recipe."""
    name = account.name("c")
    uri = f"s3://{bucket}/a.zip"
    made = account.register(accounts.recipe(name, artifacts={uri: "ZIP"}))
    assert (made["componentName"], made["componentVersion"]) == (name, "1.0.0")
    assert made["arn"] == account.arn("greengrass", f"components:{name}:versions:1.0.0")
    assert made["status"]["componentState"] == "REQUESTED"
    assert account.settled(made["arn"])["componentState"] == "DEPLOYABLE"
    shown = account.greengrass.get_component(arn=made["arn"], recipeOutputFormat="JSON")
    assert shown["tags"] == account.tags
    (artifact,) = json.loads(shown["recipe"])["Manifests"][0]["Artifacts"]
    assert artifact["Uri"] == uri
    assert artifact["Unarchive"] == "ZIP"
    assert artifact["Algorithm"] == "SHA-256"
    assert artifact["Digest"] == base64.b64encode(hashlib.sha256(b"content").digest()).decode()


def test_description(account: Account) -> None:
    """DescribeComponent shows what the recipe says and the tags."""
    name = account.name("c")
    arn = account.publish(name)
    shown = account.greengrass.describe_component(arn=arn)
    assert (shown["arn"], shown["componentName"], shown["componentVersion"]) == (arn, name, "1.0.0")
    assert shown["description"] == "Made by a test of Verge"
    assert shown["publisher"] == "Verge"
    assert shown["creationTimestamp"]
    assert shown["tags"] == account.tags
    (platform,) = shown["platforms"]
    assert platform["name"]
    assert platform["attributes"] == {"os": "linux", "runtime": "*"}


def test_recipe_formats(account: Account) -> None:
    """A recipe sent as YAML is read as YAML and as JSON, with the same content."""
    name = account.name("c")
    text = yaml.safe_dump(json.loads(accounts.recipe(name))).encode()
    arn = account.register(text)["arn"]
    account.settled(arn)
    as_yaml = account.greengrass.get_component(arn=arn, recipeOutputFormat="YAML")
    as_json = account.greengrass.get_component(arn=arn, recipeOutputFormat="JSON")
    assert (as_yaml["recipeOutputFormat"], as_json["recipeOutputFormat"]) == ("YAML", "JSON")
    assert yaml.safe_load(as_yaml["recipe"])["ComponentName"] == name
    assert json.loads(as_json["recipe"])["ComponentName"] == name


def test_immutable(account: Account) -> None:
    """A version that exists is refused, whatever the recipe says now."""
    name = account.name("c")
    account.publish(name)
    with refused("ConflictException") as caught:
        account.register(accounts.recipe(name, platform={"os": "windows"}))
    assert "already exists" in str(caught.value)
    assert caught.value.response["resourceId"]
    assert caught.value.response["resourceType"]


def test_repeated_token(account: Account) -> None:
    """The same clientToken gives the first answer again instead of a conflict."""
    text, token = accounts.recipe(account.name("c")), account.name("token")
    first = account.register(text, clientToken=token)
    assert account.register(text, clientToken=token)["arn"] == first["arn"]


def test_unreadable_artifact(account: Account, bucket: str) -> None:
    """An artifact that is not there is named, and nothing is registered."""
    name, uri = account.name("c"), f"s3://{bucket}/missing.zip"
    with refused("ValidationException") as caught:
        account.register(accounts.recipe(name, artifacts={uri: "NONE"}))
    assert f"{uri} = Specified artifact resource cannot be accessed" in str(caught.value)
    assert versions(account, name) == []


def test_newest_first(account: Account) -> None:
    """Versions are listed by semver, newest first, over pages."""
    name = account.name("c")
    for version in ("1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1", "2.0.0"):
        account.publish(name, version)
    assert versions(account, name, size=2) == ["2.0.0", "2.0.0-rc.1", "1.10.0", "1.9.0", "1.0.0"]


def test_unknown_component_has_no_versions(account: Account) -> None:
    """Listing the versions of a component that does not exist is no error."""
    assert versions(account, account.name("c")) == []


def test_list(account: Account) -> None:
    """ListComponents shows every component once, with its newest version."""
    names = [account.name("c") for _ in range(3)]
    for name in names:
        account.publish(name, "1.0.0")
        account.publish(name, "1.1.0")
    pages = account.greengrass.get_paginator("list_components").paginate(
        PaginationConfig={"PageSize": 2}
    )
    listed = [each for page in pages for each in page["components"]]
    found = {each["componentName"]: each for each in listed}
    assert len(found) == len(listed)
    for name in names:
        assert found[name]["arn"] == account.arn("greengrass", f"components:{name}")
        latest = found[name]["latestVersion"]
        assert latest["componentVersion"] == "1.1.0"
        assert latest["arn"].endswith(f":components:{name}:versions:1.1.0")
        assert (latest["description"], latest["publisher"]) == ("Made by a test of Verge", "Verge")
        assert latest["creationTimestamp"]
        assert latest["platforms"]


def test_public_components(account: Account) -> None:
    """AWS's own components are listed under the account `aws`, described and versioned."""
    pages = account.greengrass.get_paginator("list_components").paginate(scope="PUBLIC")
    found = {each["componentName"]: each for page in pages for each in page["components"]}
    for name in ("aws.greengrass.Nucleus", "aws.greengrass.TokenExchangeService"):
        arn = f"arn:aws:greengrass:{account.region}:aws:components:{name}"
        assert found[name]["arn"] == arn
        newest = found[name]["latestVersion"]
        assert versions_of(account, arn)[0] == newest["componentVersion"]
        shown = account.greengrass.describe_component(arn=newest["arn"])
        assert shown["status"]["componentState"] == "DEPLOYABLE"


def test_removal(account: Account) -> None:
    """A removed version is gone from every answer; the others stay."""
    name = account.name("c")
    gone, kept = account.publish(name, "1.0.0"), account.publish(name, "1.1.0")
    account.greengrass.delete_component(arn=gone)
    for call in (
        account.greengrass.describe_component,
        account.greengrass.get_component,
        account.greengrass.delete_component,
    ):
        with refused("ResourceNotFoundException") as caught:
            call(arn=gone)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert versions(account, name) == ["1.1.0"]
    account.greengrass.describe_component(arn=kept)


def test_public_components_stay(account: Account) -> None:
    """Nobody removes what belongs to AWS."""
    arn = f"arn:aws:greengrass:{account.region}:aws:components:aws.greengrass.TokenExchangeService"
    with refused("AccessDeniedException"):
        account.greengrass.delete_component(arn=f"{arn}:versions:2.0.3")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"- a",
        b'{"ComponentName": "c"}',
        accounts.recipe("a b"),
        accounts.recipe("c", "1"),
    ],
    ids=["empty", "broken", "list", "incomplete", "name", "version"],
)
def test_bad_recipes(account: Account, text: bytes) -> None:
    """A recipe that is none is refused."""
    with refused("ValidationException"):
        account.register(text)


@accounts.local_only("on AWS, artifacts have URLs in public and Lambda components alone")
def test_artifact_urls(account: Account, bucket: str) -> None:
    """A pre-signed URL reads the artifact, without credentials, and not if it was changed."""
    arn = account.publish(artifacts={f"s3://{bucket}/a.zip": "NONE"})
    url = account.greengrass.get_component_version_artifact(
        arn=arn, artifactName="a.zip", s3EndpointType="REGIONAL", iotEndpointType="standard"
    )["preSignedUrl"]
    with urllib3.PoolManager() as pool:
        assert pool.request("GET", url).data == b"content"
        assert pool.request("GET", url.replace("a.zip", "b.zip")).status == 403


def test_unknown_artifacts(account: Account) -> None:
    """An artifact that the recipe does not have has no URL."""
    arn = account.publish()
    with refused("(ResourceNotFound|Validation)Exception"):
        account.greengrass.get_component_version_artifact(arn=arn, artifactName="none.zip")


@accounts.local_only("a real account would look for the function and import it")
def test_lambda_functions(account: Account) -> None:
    """Importing a Lambda function is refused by name."""
    function = {"lambdaArn": account.arn("lambda", "function:f:1"), "componentName": "f"}
    with refused("ValidationException") as caught:
        account.greengrass.create_component_version(lambdaFunction=function)
    assert "Lambda" in str(caught.value)


def versions(account: Account, name: str, size: int = 100) -> list[str]:
    """Return the versions of a component of the account, as listed."""
    return versions_of(account, account.arn("greengrass", f"components:{name}"), size)


def versions_of(account: Account, arn: str, size: int = 100) -> list[str]:
    """Return the versions of a component, as listed."""
    pages = account.greengrass.get_paginator("list_component_versions").paginate(
        arn=arn, PaginationConfig={"PageSize": size}
    )
    found = [each for page in pages for each in page["componentVersions"]]
    assert all(each["arn"] == f"{arn}:versions:{each['componentVersion']}" for each in found)
    assert len({each["componentName"] for each in found}) <= 1
    return [each["componentVersion"] for each in found]
