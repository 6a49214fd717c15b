"""Greengrass after SIGKILL: nothing that was answered is lost, nothing happens twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.contract.cloud import account as accounts
from tests.support import running_cloud
from verge.cloud.jobs import schedule


def state(client: Any, arn: str) -> Any:
    """Return the state of a version once its registration has ended."""

    def ended() -> Any:
        found = client.describe_component(arn=arn)["status"]["componentState"]
        return None if found == "REQUESTED" else found

    return running_cloud.wait_for(ended, f"{arn} is registered")


def test_killed_right_after_the_answers(tmp_path: Path) -> None:
    """Versions, deployments, their jobs, tags and tokens are there after a kill at any answer."""
    with running_cloud.running(tmp_path / "cloud") as cloud:
        greengrass, iot, s3 = (cloud.client(name) for name in ("greengrassv2", "iot", "s3"))
        s3.create_bucket(
            Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        s3.put_object(Bucket="artifacts", Key="a.zip", Body=b"x" * 8_000_000)
        group = iot.create_thing_group(thingGroupName="line")["thingGroupArn"]
        text = accounts.recipe("c", artifacts={"s3://artifacts/a.zip": "ZIP"})
        made = greengrass.create_component_version(
            inlineRecipe=text, clientToken="c-1", tags={"team": "edge"}
        )
        cloud.kill()
        cloud.start()

        assert state(greengrass, made["arn"]) == "DEPLOYABLE"
        again = greengrass.create_component_version(inlineRecipe=text, clientToken="c-1")
        assert again["arn"] == made["arn"]
        shown = greengrass.get_component(arn=made["arn"])
        assert shown["tags"] == {"team": "edge"}
        assert json.loads(shown["recipe"])["Manifests"][0]["Artifacts"][0]["Digest"]
        wanted = {"targetArn": group, "components": {"c": {"componentVersion": "1.0.0"}}}
        first = greengrass.create_deployment(**wanted)
        second = greengrass.create_deployment(**wanted, clientToken="d-2")
        cloud.kill()
        cloud.start()

        assert (
            greengrass.create_deployment(**wanted, clientToken="d-2")["deploymentId"]
            == (second["deploymentId"])
        )
        listed = greengrass.list_deployments(targetArn=group, historyFilter="ALL")["deployments"]
        assert [(each["deploymentId"], each["deploymentStatus"]) for each in listed] == [
            (second["deploymentId"], "ACTIVE"),
            (first["deploymentId"], "INACTIVE"),
        ]
        statuses = [
            iot.describe_job(jobId=each["iotJobId"])["job"]["status"] for each in (first, second)
        ]
        assert statuses == ["CANCELED", "IN_PROGRESS"]


def test_killed_before_all_devices_were_told(tmp_path: Path) -> None:
    """A deployment that was answered reaches each of many devices once, whatever was left to do."""
    things = [f"press-{number:02}" for number in range(5 * schedule.BATCH)]
    with running_cloud.running(tmp_path / "cloud") as cloud:
        greengrass, iot = cloud.client("greengrassv2"), cloud.client("iot")
        group = iot.create_thing_group(thingGroupName="line")["thingGroupArn"]
        for thing in things:
            iot.create_thing(thingName=thing)
            iot.add_thing_to_thing_group(thingGroupName="line", thingName=thing)
        made = greengrass.create_component_version(inlineRecipe=accounts.recipe("c"))
        assert state(greengrass, made["arn"]) == "DEPLOYABLE"
        wanted = {"c": {"componentVersion": "1.0.0"}}
        job = greengrass.create_deployment(targetArn=group, components=wanted)["iotJobId"]
        cloud.kill()
        cloud.start()

        def executions() -> list[tuple[str, int]]:
            pages = iot.get_paginator("list_job_executions_for_job").paginate(jobId=job)
            return [
                (
                    each["thingArn"].rpartition("/")[2],
                    each["jobExecutionSummary"]["executionNumber"],
                )
                for page in pages
                for each in page["executionSummaries"]
            ]

        once = [(thing, 1) for thing in things]
        running_cloud.wait_for(lambda: executions() == once, "all devices have it")
