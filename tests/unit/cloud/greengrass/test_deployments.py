"""Deployments: what is stored, what devices are sent and what becomes of it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.support import cloud_doubles
from tests.unit.cloud.greengrass import conftest
from verge.cloud import errors, ports
from verge.cloud.greengrass import delivery, documents

Cloud = conftest.Cloud
refused = conftest.refused
LINE = cloud_doubles.group_arn("line1")
PRESS = cloud_doubles.thing_arn("press")
WIRE = Path(__file__).parents[3] / "cases/wire"


@pytest.fixture(autouse=True)
def _fleet(cloud: Cloud) -> None:
    cloud.things.add("line1", "press")
    cloud.things.add("line2", "oven")


def desired(cloud: Cloud, thing: str = "press") -> dict[str, Any]:
    """Return what a thing's shadow asks for."""
    return dict(cloud.shadows.states[thing, delivery.SHADOW]["desired"])


def test_device_document(cloud: Cloud) -> None:
    """A group's job carries the document that devices expect, byte for byte of the pinned one."""
    pinned = json.loads((WIRE / "device_document.json").read_text())
    cloud.publish("com.example.Edge", "1.2.0")
    cloud.publish("com.example.Model")
    for _ in range(3):
        made = cloud.client.create_deployment(
            targetArn=LINE,
            deploymentName="line1 base",
            components={
                "com.example.Edge": {
                    "componentVersion": "1.2.0",
                    "configurationUpdate": {"reset": ["/topic"], "merge": '{"rate": "5"}'},
                    "runWith": {
                        "posixUser": "ggc_user:ggc_group",
                        "systemResourceLimits": {"memory": 102400, "cpus": 0.5},
                    },
                },
                "com.example.Model": {"componentVersion": "1.0.0"},
            },
        )
    job = cloud.jobs.created[made["iotJobId"]]
    assert job.document == pinned | {
        "deploymentId": made["deploymentId"],
        "creationTimestamp": 1_700_000_000_002,
        "requiredCapabilities": ["LINUX_RESOURCE_LIMITS"],
    }
    assert job.namespace == "aws-gg-deployment"
    assert job.continuous
    assert job.targets == (LINE,)


def test_job_settings(cloud: Cloud) -> None:
    """Rollout, abort and timeout reach the job as they were asked for."""
    config = {
        "jobExecutionsRolloutConfig": {
            "maximumPerMinute": 50,
            "exponentialRate": {
                "baseRatePerMinute": 5,
                "incrementFactor": 1.5,
                "rateIncreaseCriteria": {"numberOfNotifiedThings": 10},
            },
        },
        "abortConfig": {
            "criteriaList": [
                {
                    "failureType": "FAILED",
                    "action": "CANCEL",
                    "thresholdPercentage": 20.25,
                    "minNumberOfExecutedThings": 5,
                }
            ]
        },
        "timeoutConfig": {"inProgressTimeoutInMinutes": 30},
    }
    made = cloud.deploy(LINE, iotJobConfiguration=config)
    job = cloud.jobs.created[made["iotJobId"]]
    assert job.rollout == config["jobExecutionsRolloutConfig"]
    assert job.abort == config["abortConfig"]
    assert job.timeout == config["timeoutConfig"]
    shown = cloud.client.get_deployment(deploymentId=made["deploymentId"])
    assert shown["iotJobConfiguration"] == config


def test_revisions(cloud: Cloud) -> None:
    """A new revision makes the one before it inactive and cancels its job first."""
    first, second = cloud.deploy(LINE), cloud.deploy(LINE)
    assert cloud.jobs.canceled == [first["iotJobId"]]
    shown = cloud.client.get_deployment(deploymentId=first["deploymentId"])
    assert (shown["deploymentStatus"], shown["isLatestForTarget"]) == ("INACTIVE", False)
    shown = cloud.client.get_deployment(deploymentId=second["deploymentId"])
    assert (shown["deploymentStatus"], shown["revisionId"]) == ("ACTIVE", "2")
    cloud.client.cancel_deployment(deploymentId=second["deploymentId"])
    cloud.client.delete_deployment(deploymentId=second["deploymentId"])
    third = cloud.deploy(LINE)
    assert cloud.client.get_deployment(deploymentId=third["deploymentId"])["revisionId"] == "3"


def test_times_grow(cloud: Cloud) -> None:
    """Each document is newer than the one before, even if the clock goes back."""
    made = [cloud.deploy(LINE)["iotJobId"]]
    cloud.clock.now -= 3600
    made.append(cloud.deploy(LINE)["iotJobId"])
    first, second = (cloud.jobs.created[job].document["creationTimestamp"] for job in made)
    assert second > first


def test_thing(cloud: Cloud) -> None:
    """A thing gets its document by the shadow; what it reports ends the deployment."""
    cloud.publish("c")
    made = cloud.deploy(PRESS, "c", deploymentName="own")
    assert "iotJobId" not in made
    document = json.loads(desired(cloud)["fleetConfig"])
    assert desired(cloud)["desiredStatus"] == "SUCCEEDED"
    assert document["configurationArn"].endswith(":configuration:thing/press:1")
    assert document["components"] == {"c": {"version": "1.0.0", "runWith": {}}}
    report = json.loads((WIRE / "shadow_report.json").read_text())["state"]["reported"]
    report["fleetConfigurationArnForStatus"] = document["configurationArn"]
    cloud.shadows.update("press", delivery.SHADOW, {"reported": report | {"status": "IN_PROGRESS"}})
    cloud.report("press")
    (entry,) = effective(cloud, "press")
    assert entry["coreDeviceExecutionStatus"] == "IN_PROGRESS"
    cloud.shadows.update("press", delivery.SHADOW, {"reported": report})
    (entry,) = effective(cloud, "press")
    assert entry["coreDeviceExecutionStatus"] == "COMPLETED"
    assert entry["deploymentName"] == "own"
    shown = cloud.client.get_deployment(deploymentId=made["deploymentId"])
    assert shown["deploymentStatus"] == "COMPLETED"
    cloud.deploy(PRESS)
    shown = cloud.client.get_deployment(deploymentId=made["deploymentId"])
    assert shown["deploymentStatus"] == "INACTIVE"


def test_thing_that_fails(cloud: Cloud) -> None:
    """What a failed thing says is shown with its deployment."""
    made = cloud.deploy(PRESS)
    arn = json.loads(desired(cloud)["fleetConfig"])["configurationArn"]
    cloud.report(
        "press",
        overallDeviceStatus="UNHEALTHY",
        deploymentInformation={
            "status": "FAILED",
            "statusDetails": {
                "failureCause": "c is BROKEN",
                "errorStack": ["DEPLOYMENT_FAILURE"],
                "errorTypes": ["COMPONENT_ERROR"],
            },
            "fleetConfigurationArnForStatus": arn,
        },
    )
    (entry,) = effective(cloud, "press")
    assert entry["coreDeviceExecutionStatus"] == "FAILED"
    assert entry["reason"] == "c is BROKEN"
    assert entry["statusDetails"] == {
        "errorStack": ["DEPLOYMENT_FAILURE"],
        "errorTypes": ["COMPONENT_ERROR"],
    }
    shown = cloud.client.get_deployment(deploymentId=made["deploymentId"])
    assert shown["deploymentStatus"] == "FAILED"


def test_things_speak_for_themselves(cloud: Cloud) -> None:
    """A thing that reports on another's deployment changes nothing."""
    made = cloud.deploy(PRESS)
    arn = json.loads(desired(cloud)["fleetConfig"])["configurationArn"]
    report = {"fleetConfigurationArnForStatus": arn, "status": "SUCCEEDED"}
    cloud.shadows.update("oven", delivery.SHADOW, {"reported": report})
    shown = cloud.client.get_deployment(deploymentId=made["deploymentId"])
    assert shown["deploymentStatus"] == "ACTIVE"


@pytest.mark.parametrize(
    "reported",
    [
        {},
        {"status": "SUCCEEDED"},
        {"fleetConfigurationArnForStatus": 7, "status": "SUCCEEDED"},
        {"fleetConfigurationArnForStatus": "arn:aws:x", "status": "SUCCEEDED"},
        {"fleetConfigurationArnForStatus": "{arn}", "status": ["SUCCEEDED"]},
        {"fleetConfigurationArnForStatus": "{arn}", "status": "WELL"},
        {"fleetConfigurationArnForStatus": "{arn}", "status": "IN_PROGRESS", "statusDetails": 1},
    ],
)
def test_shadows_that_say_nothing(cloud: Cloud, reported: dict[str, Any]) -> None:
    """A shadow without a usable status leaves the deployment active."""
    made = cloud.deploy(PRESS)
    arn = json.loads(desired(cloud)["fleetConfig"])["configurationArn"]
    told = {k: arn if v == "{arn}" else v for k, v in reported.items()}
    cloud.shadows.update("press", delivery.SHADOW, {"reported": told})
    cloud.shadows.update("press", None, {"reported": {"status": "SUCCEEDED"}})
    shown = cloud.client.get_deployment(deploymentId=made["deploymentId"])
    assert shown["deploymentStatus"] == "ACTIVE"


def test_cancel(cloud: Cloud) -> None:
    """Canceling takes the job, or the shadow's wish, back; only what is active can be."""
    group, thing = cloud.deploy(LINE), cloud.deploy(PRESS)
    for made in (group, thing):
        with refused("ConflictException"):
            cloud.client.delete_deployment(deploymentId=made["deploymentId"])
        assert cloud.client.cancel_deployment(deploymentId=made["deploymentId"])["message"]
        with refused("ConflictException"):
            cloud.client.cancel_deployment(deploymentId=made["deploymentId"])
    assert cloud.jobs.canceled == [group["iotJobId"]]
    assert desired(cloud)["desiredStatus"] == "CANCELED"
    cloud.report("press")
    assert [e["coreDeviceExecutionStatus"] for e in effective(cloud, "press")] == ["CANCELED"]


def test_aborted_job(cloud: Cloud) -> None:
    """A group's deployment whose job was aborted by its criteria is CANCELED."""
    made = cloud.deploy(LINE)
    cloud.jobs.canceled.append(made["iotJobId"])
    shown = cloud.client.get_deployment(deploymentId=made["deploymentId"])
    assert shown["deploymentStatus"] == "CANCELED"
    cloud.client.delete_deployment(deploymentId=made["deploymentId"])


def test_subdeployments(cloud: Cloud) -> None:
    """A subdeployment speaks for its parent's group, whose next revision replaces it."""
    cloud.deploy(LINE)
    made = cloud.deploy(cloud_doubles.group_arn("line2"), parentTargetArn=LINE)
    document = cloud.jobs.created[made["iotJobId"]].document
    assert document["parentTargetArn"] == LINE
    assert document["onBehalfOf"] == "line1"
    assert document["requiredCapabilities"] == ["SUB_DEPLOYMENTS"]
    listed = cloud.client.list_deployments(parentTargetArn=LINE)["deployments"]
    assert [each["deploymentId"] for each in listed] == [made["deploymentId"]]
    cloud.deploy(LINE)
    assert made["iotJobId"] in cloud.jobs.canceled
    shown = cloud.client.get_deployment(deploymentId=made["deploymentId"])
    assert shown["deploymentStatus"] == "INACTIVE"


def test_subdeployments_that_cannot_be(cloud: Cloud) -> None:
    """A subdeployment needs a group of its own and one parent for good."""
    line2 = cloud_doubles.group_arn("line2")
    cloud.things.add("line3")
    for target, parent in ((PRESS, LINE), (LINE, LINE)):
        with refused("ValidationException"):
            cloud.deploy(target, parentTargetArn=parent)
    with refused("ResourceNotFoundException"):
        cloud.deploy(line2, parentTargetArn=cloud_doubles.group_arn("nowhere"))
    cloud.deploy(line2, parentTargetArn=LINE)
    with refused("ValidationException"):
        cloud.deploy(line2, parentTargetArn=cloud_doubles.group_arn("line3"))


@pytest.mark.parametrize(("target", "limit"), [(LINE, 31 * 1024), (PRESS, 7 * 1024)])
def test_large_documents(cloud: Cloud, target: str, limit: int) -> None:
    """A document over the limit is sent as a reference, and the device fetches the whole."""
    cloud.publish("c")

    def carried(sent: dict[str, Any]) -> int:
        document = documents.encode(sent)
        return len(document if target == LINE else documents.encode(document.decode()))

    def deploy(size: int) -> tuple[str, dict[str, Any]]:
        update = {"merge": json.dumps({"text": "x" * size})}
        wanted = {"c": {"componentVersion": "1.0.0", "configurationUpdate": update}}
        made = cloud.client.create_deployment(targetArn=target, components=wanted)
        if target == PRESS:
            return made["deploymentId"], json.loads(desired(cloud)["fleetConfig"])
        return made["deploymentId"], cloud.jobs.created[made["iotJobId"]].document

    _, small = deploy(10)
    fits = limit - carried(small) + 10
    _, sent = deploy(fits)
    assert carried(sent) == limit
    deployment_id, sent = deploy(fits + 1)
    assert sent["requiredCapabilities"] == ["LARGE_CONFIGURATION"]
    assert sent["components"] == {}
    whole = cloud.service.configuration_document("press", deployment_id)
    assert whole is not None
    document = json.loads(whole)
    assert document["configurationArn"] == sent["configurationArn"]
    assert len(document["components"]["c"]["configurationUpdate"]["merge"]["text"]) == fits + 1
    assert cloud.service.configuration_document("oven", deployment_id) is None
    assert cloud.service.configuration_document("press", "no-such") is None


def test_document_over_ten_megabytes(cloud: Cloud) -> None:
    """A document that devices could not fetch is refused before anything is stored."""
    cloud.publish("c")
    cloud.publish("d")
    update = {"merge": json.dumps({"text": "x" * 6 * 1024 * 1024})}
    spec = {"componentVersion": "1.0.0", "configurationUpdate": update}
    with refused("ValidationException"):
        cloud.client.create_deployment(targetArn=LINE, components={"c": spec, "d": spec})
    assert cloud.client.list_deployments()["deployments"] == []


@pytest.mark.parametrize(
    ("update", "place"),
    [
        ({"merge": "["}, "merge"),
        ({"merge": "[]"}, "merge"),
        ({"merge": '{"a": NaN}'}, "merge"),
        ({"merge": '{"a": 1e400}'}, "merge"),
        ({"merge": '{"a": "\\ud800"}'}, "merge"),
        ({"merge": "{" * 5000}, "merge"),
        ({"reset": ["a"]}, "reset"),
        ({"reset": ["/a~2"]}, "reset"),
    ],
)
def test_bad_configuration(cloud: Cloud, update: dict[str, Any], place: str) -> None:
    """A configuration update that means nothing is refused by its component and place."""
    cloud.publish("c")
    with refused("ValidationException") as caught:
        cloud.client.create_deployment(
            targetArn=LINE,
            components={"c": {"componentVersion": "1.0.0", "configurationUpdate": update}},
        )
    assert f"components.c.configurationUpdate.{place}" in str(caught.value)


RATE = {"baseRatePerMinute": 5, "incrementFactor": 2.0}


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"timeoutConfig": {"inProgressTimeoutInMinutes": 0}}, "inProgressTimeoutInMinutes"),
        ({"timeoutConfig": {"inProgressTimeoutInMinutes": 10081}}, "inProgressTimeoutInMinutes"),
        (
            {
                "jobExecutionsRolloutConfig": {
                    "exponentialRate": {**RATE, "rateIncreaseCriteria": {}}
                }
            },
            "rateIncreaseCriteria",
        ),
        (
            {
                "jobExecutionsRolloutConfig": {
                    "exponentialRate": {
                        **RATE,
                        "incrementFactor": 1.55,
                        "rateIncreaseCriteria": {"numberOfNotifiedThings": 1},
                    }
                }
            },
            "incrementFactor",
        ),
        (
            {
                "jobExecutionsRolloutConfig": {
                    "maximumPerMinute": 4,
                    "exponentialRate": {
                        **RATE,
                        "rateIncreaseCriteria": {"numberOfSucceededThings": 1},
                    },
                }
            },
            "baseRatePerMinute",
        ),
        (
            {
                "abortConfig": {
                    "criteriaList": [
                        {
                            "failureType": "ALL",
                            "action": "CANCEL",
                            "thresholdPercentage": 10.999,
                            "minNumberOfExecutedThings": 1,
                        }
                    ]
                }
            },
            "thresholdPercentage",
        ),
    ],
)
def test_bad_job_settings(cloud: Cloud, config: dict[str, Any], place: str) -> None:
    """Job settings that IoT Jobs would refuse are refused by their place."""
    with refused("ValidationException") as caught:
        cloud.deploy(LINE, iotJobConfiguration=config)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("target", "components", "code"),
    [
        (cloud_doubles.group_arn("nowhere"), [], "ResourceNotFoundException"),
        (cloud_doubles.thing_arn("nobody"), [], "ResourceNotFoundException"),
        (LINE.replace("eu-west-1", "us-east-1"), [], "ResourceNotFoundException"),
        (LINE.replace("123456789012", "210987654321"), [], "ResourceNotFoundException"),
        (LINE, ["nothing"], "ResourceNotFoundException"),
        (LINE, ["c=1.0.1"], "ResourceNotFoundException"),
        (LINE, ["aws.greengrass.Nucleus=9.9.9"], "ResourceNotFoundException"),
    ],
)
def test_what_does_not_exist(cloud: Cloud, target: str, components: list[str], code: str) -> None:
    """A target or component version that does not exist is refused, and nothing is stored."""
    cloud.publish("c")
    with refused(code):
        cloud.deploy(target, *components)
    assert cloud.client.list_deployments(historyFilter="ALL")["deployments"] == []
    assert cloud.jobs.created == {}


def test_versions_in_work(cloud: Cloud) -> None:
    """A version that is not DEPLOYABLE cannot be deployed."""
    cloud.service.stop()
    cloud.client.create_component_version(inlineRecipe=conftest.recipe("c"))
    with refused("ConflictException"):
        cloud.deploy(LINE, "c")


def test_handed_over_after_a_crash(cloud: Cloud) -> None:
    """What was stored when the process died is handed over once at the next start."""
    first = cloud.deploy(LINE)

    def die(job: ports.NewJob) -> None:
        raise SystemExit(job.id)

    create, cloud.jobs.create = cloud.jobs.create, die  # type: ignore[method-assign]
    handler = cloud.make()
    with pytest.raises(SystemExit):
        handler._deployments.create({"targetArn": LINE, "clientToken": "once"})
    cloud.jobs.create = create  # type: ignore[method-assign]
    (second,) = cloud.client.list_deployments(targetArn=LINE)["deployments"]
    job = cloud.client.get_deployment(deploymentId=second["deploymentId"])["iotJobId"]
    assert job not in cloud.jobs.created
    for _ in range(2):
        later = cloud.make()
        later.start()
        later.stop()
    assert set(cloud.jobs.created) == {first["iotJobId"], job}
    assert first["iotJobId"] in cloud.jobs.canceled
    again = cloud.client.create_deployment(targetArn=LINE, clientToken="once")
    assert again["deploymentId"] == second["deploymentId"]


def test_subdeployments_after_a_crash(cloud: Cloud) -> None:
    """The next start also takes back the subdeployments of a parent that it hands over."""
    cloud.deploy(LINE)
    sub = cloud.deploy(cloud_doubles.group_arn("line2"), parentTargetArn=LINE)
    cancel = cloud.jobs.cancel

    def die(job_id: str) -> None:
        raise SystemExit(job_id)

    cloud.jobs.cancel = die  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        cloud.make()._deployments.create({"targetArn": LINE})
    cloud.jobs.cancel = cancel  # type: ignore[method-assign]
    later = cloud.make()
    later.start()
    later.stop()
    assert sub["iotJobId"] in cloud.jobs.canceled


@pytest.mark.parametrize("target", [LINE, PRESS])
def test_canceled_again_after_a_crash(cloud: Cloud, target: str) -> None:
    """A cancellation that was cut off can be asked for again, until devices are spared."""
    made = cloud.deploy(target)

    def die(*_: object) -> None:
        raise SystemExit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud.jobs, "cancel", die)
        patch.setattr(cloud.shadows, "update", die)
        with pytest.raises(SystemExit):
            cloud.make()._deployments.cancel({"deploymentId": made["deploymentId"]})
    cloud.client.cancel_deployment(deploymentId=made["deploymentId"])
    if target == LINE:
        assert cloud.jobs.canceled == [made["iotJobId"]]
    else:
        assert desired(cloud)["desiredStatus"] == "CANCELED"


def test_handed_over_after_a_full_disk(cloud: Cloud) -> None:
    """A request that is repeated after the disk was full brings a deployment to the devices."""
    first = cloud.deploy(LINE)
    create = cloud.jobs.create

    def full(job: ports.NewJob) -> None:
        cloud.jobs.create = create  # type: ignore[method-assign]
        raise sqlite3.OperationalError("database or disk is full")

    cloud.jobs.create = full  # type: ignore[method-assign]
    with refused("InternalServerException"):
        cloud.deploy(LINE, clientToken="once")
    made = cloud.deploy(LINE, clientToken="once")
    assert cloud.jobs.created[made["iotJobId"]].document["deploymentId"] == made["deploymentId"]
    assert set(cloud.jobs.created) - set(cloud.jobs.canceled) == {made["iotJobId"]}
    assert first["iotJobId"] in cloud.jobs.canceled


def test_target_that_goes_away(cloud: Cloud) -> None:
    """A deployment that jobs refuse has FAILED and says so; no start tries it again."""

    def refuse(job: ports.NewJob) -> None:
        raise errors.CloudError(f"cannot create {job.id}: the group is gone")

    create, cloud.jobs.create = cloud.jobs.create, refuse  # type: ignore[method-assign]
    for _ in range(2):  # clients repeat a request with its token after an internal error
        with refused("InternalServerException"):
            cloud.deploy(LINE, clientToken="once")
    (made,) = cloud.client.list_deployments(targetArn=LINE)["deployments"]
    assert made["deploymentStatus"] == "FAILED"
    cloud.database.execute("UPDATE greengrass_deployments SET delivered = 0, status = 'ACTIVE'")
    for _ in range(2):
        later = cloud.make()
        later.start()
        later.stop()
    shown = cloud.client.get_deployment(deploymentId=made["deploymentId"])
    assert shown["deploymentStatus"] == "FAILED"
    cloud.jobs.create = create  # type: ignore[method-assign]
    again = cloud.deploy(LINE, clientToken="once")
    assert cloud.jobs.created[again["iotJobId"]].document["deploymentId"] == again["deploymentId"]


def test_tokens(cloud: Cloud) -> None:
    """A repeated token gives the first result for eight hours, then counts anew."""
    first = cloud.deploy(LINE, clientToken="a-1")
    assert cloud.deploy(LINE, clientToken="a-1")["deploymentId"] == first["deploymentId"]
    assert cloud.deploy(LINE, clientToken="a-2")["deploymentId"] != first["deploymentId"]
    cloud.clock.now += 8 * 3600 + 1
    assert cloud.deploy(LINE, clientToken="a-1")["deploymentId"] != first["deploymentId"]


def test_refused_requests_keep_no_token(cloud: Cloud) -> None:
    """A token whose request was refused may be used again."""
    with refused("ResourceNotFoundException"):
        cloud.deploy(LINE, "c", clientToken="a-1")
    cloud.publish("c")
    assert cloud.deploy(LINE, "c", clientToken="a-1")["deploymentId"]


def test_effective_deployments_of_groups(cloud: Cloud) -> None:
    """A device shows the newest revision of each group, with what its job says."""
    cloud.report("press")
    old, new = cloud.deploy(LINE), cloud.deploy(LINE, deploymentName="new")
    cloud.jobs.step(old["iotJobId"], "press", "SUCCEEDED", at=1_700_000_010.0)
    cloud.jobs.step(
        new["iotJobId"],
        "press",
        "FAILED",
        at=1_700_000_020.0,
        deployment_failure_cause="no room",
        deployment_error_stack='["DEPLOYMENT_FAILURE"]',
        deployment_error_types='["DEVICE_ERR',
    )
    cloud.jobs.step("job-of-another-service", "press", "QUEUED")
    (entry,) = effective(cloud, "press")
    assert entry["deploymentId"] == new["deploymentId"]
    assert entry["iotJobId"] == new["iotJobId"]
    assert entry["targetArn"] == LINE
    assert entry["coreDeviceExecutionStatus"] == "FAILED"
    assert entry["reason"] == "no room"
    assert entry["statusDetails"] == {"errorStack": ["DEPLOYMENT_FAILURE"], "errorTypes": []}
    assert entry["modifiedTimestamp"].timestamp() == 1_700_000_020.0


def effective(cloud: Cloud, thing: str) -> list[dict[str, Any]]:
    """Return the effective deployments of a device."""
    answer = cloud.client.list_effective_deployments(coreDeviceThingName=thing)
    return list(answer["effectiveDeployments"])
