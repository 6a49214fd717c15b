"""Tags of components, deployments and core devices."""

from __future__ import annotations

import pytest

from tests.contract.cloud import account as accounts

Account = accounts.Account
refused = accounts.refused


def test_tags(account: Account) -> None:
    """Tags are added, replaced, listed and removed."""
    greengrass, arn = account.greengrass, account.publish()
    assert greengrass.list_tags_for_resource(resourceArn=arn)["tags"] == account.tags
    greengrass.tag_resource(resourceArn=arn, tags={"team": "edge", "line": "1"})
    greengrass.tag_resource(resourceArn=arn, tags={"line": "2 "})
    expected = {**account.tags, "team": "edge", "line": "2 "}
    assert greengrass.list_tags_for_resource(resourceArn=arn)["tags"] == expected
    assert greengrass.describe_component(arn=arn)["tags"] == expected
    greengrass.untag_resource(resourceArn=arn, tagKeys=["team", "line", "never"])
    assert greengrass.list_tags_for_resource(resourceArn=arn)["tags"] == account.tags


def test_deployment_tags(account: Account) -> None:
    """A deployment has tags from its creation on."""
    _, group = account.group()
    made = account.deploy(group, {})["deploymentId"]
    arn = account.arn("greengrass", f"deployments:{made}")
    account.greengrass.tag_resource(resourceArn=arn, tags={"team": "edge"})
    expected = {**account.tags, "team": "edge"}
    assert account.greengrass.get_deployment(deploymentId=made)["tags"] == expected


@pytest.mark.parametrize(
    "resource", ["components:none:versions:1.0.0", "deployments:none", "coreDevices:none"]
)
def test_unknown_resources(account: Account, resource: str) -> None:
    """What does not exist has no tags."""
    arn = account.arn("greengrass", resource)
    with refused("ResourceNotFoundException"):
        account.greengrass.list_tags_for_resource(resourceArn=arn)
    with refused("ResourceNotFoundException"):
        account.greengrass.tag_resource(resourceArn=arn, tags={"a": "b"})
    with refused("ResourceNotFoundException"):
        account.greengrass.untag_resource(resourceArn=arn, tagKeys=["a"])


def test_reserved_keys(account: Account) -> None:
    """Keys that begin with aws: are AWS's."""
    with refused("ValidationException"):
        account.greengrass.tag_resource(resourceArn=account.publish(), tags={"aws:x": "y"})
