"""Deployments as boto3 sees them (contract 3.1 and 5.5)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from tests.contract.cloud import account as accounts

Account = accounts.Account
refused = accounts.refused


class Fleet(NamedTuple):
    """A thing in a group, ARNs, and a component in version 1.0.0."""

    thing: str
    group: str
    component: str

    @property
    def components(self) -> dict[str, Any]:
        """What to deploy."""
        return {self.component: {"componentVersion": "1.0.0"}}


@pytest.fixture
def fleet(account: Account) -> Fleet:
    """A fleet of one."""
    name, thing = account.thing()
    _, group = account.group(name)
    component = account.publish().split(":")[-3]
    return Fleet(thing, group, component)


CONFIGURATION: dict[str, Any] = {
    "jobExecutionsRolloutConfig": {
        "maximumPerMinute": 50,
        "exponentialRate": {
            "baseRatePerMinute": 5,
            "incrementFactor": 2.0,
            "rateIncreaseCriteria": {"numberOfNotifiedThings": 10},
        },
    },
    "abortConfig": {
        "criteriaList": [
            {
                "failureType": "FAILED",
                "action": "CANCEL",
                "thresholdPercentage": 20.0,
                "minNumberOfExecutedThings": 5,
            }
        ]
    },
    "timeoutConfig": {"inProgressTimeoutInMinutes": 30},
}
POLICIES = {
    "failureHandlingPolicy": "DO_NOTHING",
    "componentUpdatePolicy": {"timeoutInSeconds": 5, "action": "SKIP_NOTIFY_COMPONENTS"},
    "configurationValidationPolicy": {"timeoutInSeconds": 7},
}


def test_everything_is_kept(account: Account, fleet: Fleet) -> None:
    """GetDeployment answers what CreateDeployment was asked for."""
    components = {
        fleet.component: {
            "componentVersion": "1.0.0",
            "configurationUpdate": {"merge": json.dumps({"rate": "5"}), "reset": ["/topic"]},
            "runWith": {
                "posixUser": "ggc_user:ggc_group",
                "windowsUser": "ggc_user",
                "systemResourceLimits": {"memory": 102400, "cpus": 0.5},
            },
        }
    }
    made = account.deploy(
        fleet.group,
        components,
        deploymentName="line base",
        deploymentPolicies=POLICIES,
        iotJobConfiguration=CONFIGURATION,
    )
    shown = account.greengrass.get_deployment(deploymentId=made["deploymentId"])
    assert shown["targetArn"] == fleet.group
    assert shown["deploymentName"] == "line base"
    assert shown["components"] == components
    assert shown["deploymentPolicies"] == POLICIES
    assert shown["iotJobConfiguration"] == CONFIGURATION
    assert shown["revisionId"] == "1"
    assert shown["deploymentStatus"] == "ACTIVE"
    assert shown["isLatestForTarget"] is True
    assert shown["iotJobId"] == made["iotJobId"]
    assert shown["iotJobArn"] == made["iotJobArn"] == account.arn("iot", f"job/{made['iotJobId']}")
    assert shown["creationTimestamp"]
    assert shown["tags"] == account.tags


def test_defaults(account: Account, fleet: Fleet) -> None:
    """Policies that were not given have the defaults of the service."""
    made = account.deploy(fleet.thing, fleet.components)
    shown = account.greengrass.get_deployment(deploymentId=made["deploymentId"])
    policies = shown["deploymentPolicies"]
    assert policies["failureHandlingPolicy"] == "ROLLBACK"
    update = policies["componentUpdatePolicy"]
    assert update == {"timeoutInSeconds": 60, "action": "NOTIFY_COMPONENTS"}


def test_only_groups_have_jobs(account: Account, fleet: Fleet) -> None:
    """A deployment to a thing has no job."""
    made = account.deploy(fleet.thing, fleet.components)
    assert "iotJobId" not in made
    assert "iotJobArn" not in made
    shown = account.greengrass.get_deployment(deploymentId=made["deploymentId"])
    assert "iotJobId" not in shown


def test_rate_by_success(account: Account, fleet: Fleet) -> None:
    """A rollout may grow with the things that succeeded instead of those that were told."""
    rate = CONFIGURATION["jobExecutionsRolloutConfig"]["exponentialRate"]
    slow = {**rate, "rateIncreaseCriteria": {"numberOfSucceededThings": 3}}
    config = {"jobExecutionsRolloutConfig": {"exponentialRate": slow}}
    made = account.deploy(fleet.group, fleet.components, iotJobConfiguration=config)
    shown = account.greengrass.get_deployment(deploymentId=made["deploymentId"])
    assert shown["iotJobConfiguration"] == config


def test_job_exists(account: Account, fleet: Fleet) -> None:
    """The job of a deployment is one of IoT Jobs, continuous and for the group."""
    made = account.deploy(fleet.group, fleet.components)
    job = account.client("iot").describe_job(jobId=made["iotJobId"])["job"]
    assert job["targetSelection"] == "CONTINUOUS"
    assert job["targets"] == [fleet.group]
    assert job["status"] == "IN_PROGRESS"


def test_revisions(account: Account, fleet: Fleet) -> None:
    """A target has one active deployment: the newest revision."""
    made = [account.deploy(fleet.group, fleet.components)["deploymentId"] for _ in range(3)]
    shown = [account.greengrass.get_deployment(deploymentId=each) for each in made]
    assert [each["revisionId"] for each in shown] == ["1", "2", "3"]
    assert [each["deploymentStatus"] for each in shown] == ["INACTIVE", "INACTIVE", "ACTIVE"]
    assert [each["isLatestForTarget"] for each in shown] == [False, False, True]
    assert listed(account, targetArn=fleet.group) == made[:1:-1]
    assert listed(account, targetArn=fleet.group, historyFilter="ALL") == made[::-1]


def test_summary(account: Account, fleet: Fleet) -> None:
    """ListDeployments shows each deployment in short."""
    made = account.deploy(fleet.group, fleet.components, deploymentName="short")
    answer = account.greengrass.list_deployments(targetArn=fleet.group)
    (entry,) = answer["deployments"]
    assert entry.pop("creationTimestamp")
    assert entry == {
        "targetArn": fleet.group,
        "revisionId": "1",
        "deploymentId": made["deploymentId"],
        "deploymentName": "short",
        "deploymentStatus": "ACTIVE",
        "isLatestForTarget": True,
    }


def test_pages(account: Account, fleet: Fleet) -> None:
    """Pages show each deployment once, newest first; their tokens serve nothing else."""
    made = [account.deploy(fleet.thing, fleet.components)["deploymentId"] for _ in range(5)]
    wanted = {"targetArn": fleet.thing, "historyFilter": "ALL"}
    assert listed(account, size=2, **wanted) == made[::-1]
    token = account.greengrass.list_deployments(maxResults=2, **wanted)["nextToken"]
    with refused("ValidationException"):
        account.greengrass.list_components(nextToken=token)


def test_subdeployments(account: Account, fleet: Fleet) -> None:
    """A subdeployment names its parent and is found by it."""
    account.deploy(fleet.group, fleet.components)
    _, part = account.group(fleet.thing.partition("/")[2])
    made = account.deploy(part, fleet.components, parentTargetArn=fleet.group)
    shown = account.greengrass.get_deployment(deploymentId=made["deploymentId"])
    assert shown["parentTargetArn"] == fleet.group
    (entry,) = account.greengrass.list_deployments(parentTargetArn=fleet.group)["deployments"]
    assert entry["deploymentId"] == made["deploymentId"]
    assert entry["parentTargetArn"] == fleet.group
    with refused("ValidationException"):
        account.deploy(fleet.thing, fleet.components, parentTargetArn=fleet.group)


def test_cancel_and_delete(account: Account, fleet: Fleet) -> None:
    """An active deployment is canceled first, then deleted, and then it is gone."""
    greengrass = account.greengrass
    made = account.deploy(fleet.group, fleet.components)["deploymentId"]
    with refused("ConflictException"):
        greengrass.delete_deployment(deploymentId=made)
    assert greengrass.cancel_deployment(deploymentId=made)["message"]
    assert greengrass.get_deployment(deploymentId=made)["deploymentStatus"] == "CANCELED"
    with refused("ConflictException"):
        greengrass.cancel_deployment(deploymentId=made)
    greengrass.delete_deployment(deploymentId=made)
    for call in (
        greengrass.get_deployment,
        greengrass.cancel_deployment,
        greengrass.delete_deployment,
    ):
        with refused("ResourceNotFoundException"):
            call(deploymentId=made)
    assert listed(account, targetArn=fleet.group, historyFilter="ALL") == []


def test_repeated_token(account: Account, fleet: Fleet) -> None:
    """The same clientToken makes one deployment."""
    token = account.name("token")
    first = account.deploy(fleet.group, fleet.components, clientToken=token)
    again = account.deploy(fleet.group, fleet.components, clientToken=token)
    assert again["deploymentId"] == first["deploymentId"]
    assert again["iotJobId"] == first["iotJobId"]
    assert len(listed(account, targetArn=fleet.group, historyFilter="ALL")) == 1


def test_what_does_not_exist(account: Account, fleet: Fleet) -> None:
    """Targets and component versions that do not exist are refused."""
    nowhere = account.arn("iot", f"thinggroup/{account.name('nowhere')}")
    with refused("ResourceNotFoundException"):
        account.deploy(nowhere, fleet.components)
    for component, version in ((account.name("c"), "1.0.0"), (fleet.component, "9.9.9")):
        with refused("(ResourceNotFound|Validation)Exception"):
            account.deploy(fleet.group, {component: {"componentVersion": version}})
    assert listed(account, targetArn=fleet.group) == []


@pytest.mark.parametrize("merge", ["[", "[]", "7"])
def test_bad_merges(account: Account, fleet: Fleet, merge: str) -> None:
    """A merge that is no JSON object is refused."""
    update = {"merge": merge}
    spec = {"componentVersion": "1.0.0", "configurationUpdate": update}
    with refused("ValidationException"):
        account.deploy(fleet.group, {fleet.component: spec})


def test_empty_deployment(account: Account, fleet: Fleet) -> None:
    """A deployment without components is one: it takes everything off its target."""
    made = account.greengrass.create_deployment(targetArn=fleet.thing, tags=account.tags)
    shown = account.greengrass.get_deployment(deploymentId=made["deploymentId"])
    assert shown.get("components", {}) == {}
    account.greengrass.cancel_deployment(deploymentId=made["deploymentId"])
    account.greengrass.delete_deployment(deploymentId=made["deploymentId"])


def listed(account: Account, size: int = 100, **filters: Any) -> list[str]:
    """Return the ids of deployments as listed."""
    pages = account.greengrass.get_paginator("list_deployments").paginate(
        **filters, PaginationConfig={"PageSize": size}
    )
    return [each["deploymentId"] for page in pages for each in page["deployments"]]
