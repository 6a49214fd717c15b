"""The IoT jobs operations and `iot-jobs-data`, asked by unmodified boto3."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support import cloud_doubles as doubles
from tests.support import cloud_http
from tests.unit.cloud.jobs import plant

DOCUMENT = '{ "do": "it" }'
PRESS = doubles.thing_arn("press-1")


class Clients:
    """The plant, and the two clients of its service."""

    def __init__(self, line: plant.Plant, url: str) -> None:
        self.line = line
        self.iot = cloud_http.client("iot", url)
        self.data = cloud_http.client("iot-jobs-data", url)

    def create(self, job_id: str = "job", **members: Any) -> Any:
        """Create a job for the line, and tell the things that may be told now."""
        asked = {"targets": [plant.LINE], "document": DOCUMENT, **members}
        made = self.iot.create_job(jobId=job_id, **asked)
        self.line.tell()
        return made


@pytest.fixture
def clients(line: plant.Plant) -> Iterator[Clients]:
    """Yield clients of a served engine."""
    with cloud_http.serving(line.engine.routes()) as url:
        yield Clients(line, url)


def refusal(call: Any, **arguments: Any) -> tuple[str, int]:
    """Return code and status of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    assert answer["Error"]["Message"]
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_job_is_created_and_described(clients: Clients) -> None:
    """What was asked for is what is described, with counts by status."""
    rollout = {"maximumPerMinute": 2}
    criterion = {
        "failureType": "ALL",
        "action": "CANCEL",
        "thresholdPercentage": 20.5,
        "minNumberOfExecutedThings": 5,
    }
    made = clients.create(
        targetSelection="CONTINUOUS",
        description="all presses",
        jobExecutionsRolloutConfig=rollout,
        abortConfig={"criteriaList": [criterion]},
        timeoutConfig={"inProgressTimeoutInMinutes": 5},
        namespaceId="mine",
    )
    assert made["jobArn"] == "arn:aws:iot:eu-west-1:123456789012:job/job"
    job = clients.iot.describe_job(jobId="job")["job"]
    assert job["targets"] == [plant.LINE]
    assert job["targetSelection"] == "CONTINUOUS"
    assert job["status"] == "IN_PROGRESS"
    assert job["namespaceId"] == "mine"
    assert job["jobExecutionsRolloutConfig"] == rollout
    assert job["abortConfig"] == {"criteriaList": [criterion]}
    assert job["timeoutConfig"] == {"inProgressTimeoutInMinutes": 5}
    assert job["createdAt"] == dt.datetime.fromtimestamp(plant.START, tz=dt.UTC)
    assert job["jobProcessDetails"]["numberOfQueuedThings"] == 2
    assert job["jobProcessDetails"]["processingTargets"] == [plant.LINE]
    assert clients.iot.get_job_document(jobId="job")["document"] == DOCUMENT


def test_jobs_are_listed_and_chosen(clients: Clients) -> None:
    """Jobs are listed newest first, in pages, and by their properties."""
    for number in range(5):
        clients.create(f"job-{number}", targetSelection="SNAPSHOT" if number % 2 else "CONTINUOUS")
        clients.line.now += 1
    clients.create("one", targets=[PRESS], namespaceId="mine")
    clients.iot.cancel_job(jobId="job-3")

    def ids(**chosen: Any) -> list[str]:
        pages = clients.iot.get_paginator("list_jobs").paginate(**chosen)
        return [job["jobId"] for each in pages for job in each["jobs"]]

    assert ids() == ["one", "job-4", "job-3", "job-2", "job-1", "job-0"]
    assert ids(PaginationConfig={"PageSize": 2}) == ids()
    assert ids(targetSelection="CONTINUOUS") == ["job-4", "job-2", "job-0"]
    assert ids(status="CANCELED") == ["job-3"]
    assert ids(namespaceId="mine") == ["one"]
    assert ids(thingGroupName="line") == ["job-4", "job-3", "job-2", "job-1", "job-0"]


def test_settings_of_a_job_can_be_changed(clients: Clients) -> None:
    """UpdateJob replaces what it names while the job is in progress."""
    clients.create(jobExecutionsRolloutConfig={"maximumPerMinute": 1})
    clients.iot.update_job(jobId="job", jobExecutionsRolloutConfig={"maximumPerMinute": 3})
    clients.line.look()
    assert len(clients.line.statuses()) == 3
    clients.iot.cancel_job(jobId="job", reasonCode="ENOUGH", comment="no more")
    job = clients.iot.describe_job(jobId="job")["job"]
    assert (job["reasonCode"], job["comment"], job["forceCanceled"]) == ("ENOUGH", "no more", False)
    assert refusal(clients.iot.update_job, jobId="job", description="x")[1] == 400


def test_targets_can_be_added_to_a_continuous_job(clients: Clients) -> None:
    """AssociateTargetsWithJob brings the job to more things; a snapshot refuses it."""
    clients.line.things.add("other", "robot")
    clients.create(targetSelection="CONTINUOUS")
    clients.create("snap")
    more = [doubles.group_arn("other")]
    clients.iot.associate_targets_with_job(jobId="job", targets=more)
    clients.line.look()
    assert clients.line.statuses()["robot"] == "QUEUED"
    assert refusal(clients.iot.associate_targets_with_job, jobId="snap", targets=more)[1] == 400


def test_pages_of_executions_follow_one_another(clients: Clients) -> None:
    """A page begins behind the thing that the one before ended with, whatever became of that."""
    clients.create()

    def page(**asked: Any) -> tuple[list[str], Any]:
        found = clients.iot.list_job_executions_for_job(jobId="job", maxResults=1, **asked)
        arns = [each["thingArn"] for each in found["executionSummaries"]]
        return [arn.rpartition("/")[2] for arn in arns], found.get("nextToken")

    first, token = page()
    assert first == ["press-1"]
    clients.iot.delete_job_execution(
        jobId="job", thingName="press-1", executionNumber=1, force=True
    )
    second, token = page(nextToken=token)
    third, end = page(nextToken=token)
    assert (second, third, end) == (["press-2"], ["press-3"], None)
    clients.iot.cancel_job_execution(jobId="job", thingName="press-2")
    assert page(status="QUEUED") == (["press-3"], None)
    assert page(status="CANCELED") == (["press-2"], None)


def test_executions_are_listed_both_ways(clients: Clients) -> None:
    """Executions are found by job and by thing, and filtered by status and namespace."""
    clients.create()
    clients.create("gg", namespaceId=plant.NAMESPACE)
    clients.data.update_job_execution(jobId="job", thingName="press-2", status="FAILED")
    by_job = clients.iot.list_job_executions_for_job(jobId="job")["executionSummaries"]
    shown = {each["thingArn"]: each["jobExecutionSummary"]["status"] for each in by_job}
    assert shown == {
        PRESS: "QUEUED",
        doubles.thing_arn("press-2"): "FAILED",
        doubles.thing_arn("press-3"): "QUEUED",
    }
    failed = clients.iot.list_job_executions_for_job(jobId="job", status="FAILED")
    assert len(failed["executionSummaries"]) == 1
    by_thing = clients.iot.list_job_executions_for_thing(thingName="press-1")["executionSummaries"]
    assert {each["jobId"] for each in by_thing} == {"job", "gg"}
    ours = clients.iot.list_job_executions_for_thing(
        thingName="press-1", namespaceId=plant.NAMESPACE
    )
    assert [each["jobId"] for each in ours["executionSummaries"]] == ["gg"]


def test_an_execution_is_described_cancelled_and_deleted(clients: Clients) -> None:
    """The IoT API shows one execution, cancels it, by force if begun, and forgets it."""
    clients.create()
    where = {"jobId": "job", "thingName": "press-1"}
    clients.data.update_job_execution(**where, status="IN_PROGRESS", statusDetails={"a": "b"})
    shown = clients.iot.describe_job_execution(**where)["execution"]
    assert (shown["status"], shown["versionNumber"], shown["executionNumber"]) == (
        "IN_PROGRESS",
        2,
        1,
    )
    assert shown["statusDetails"] == {"detailsMap": {"a": "b"}}
    assert shown["thingArn"] == PRESS
    cancel, delete = clients.iot.cancel_job_execution, clients.iot.delete_job_execution
    assert refusal(cancel, **where) == ("InvalidStateTransitionException", 409)
    assert refusal(cancel, **where, expectedVersion=9) == ("VersionConflictException", 409)
    assert refusal(delete, **where, executionNumber=1)[1] == 409
    cancel(**where, force=True, statusDetails={"by": "hand"})
    shown = clients.iot.describe_job_execution(**where)["execution"]
    assert (shown["status"], shown["forceCanceled"]) == ("CANCELED", True)
    delete(**where, executionNumber=1)
    assert refusal(clients.iot.describe_job_execution, **where)[1] == 404


def test_a_job_is_deleted_when_it_has_ended(clients: Clients) -> None:
    """A job in progress is deleted by force only; its things are told that it is gone."""
    clients.create(namespaceId=plant.NAMESPACE)
    assert refusal(clients.iot.delete_job, jobId="job") == (
        "InvalidStateTransitionException",
        409,
    )
    clients.line.bus.take()
    clients.iot.delete_job(jobId="job", force=True)
    assert clients.line.told("press-1", "notify")[0]["jobs"] == {}
    assert refusal(clients.iot.describe_job, jobId="job") == ("ResourceNotFoundException", 404)
    assert clients.line.engine.executions_of_thing("press-1") == []


def test_a_device_works_over_http(clients: Clients) -> None:
    """`iot-jobs-data` carries a job from pending to done; documents are strings there."""
    clients.create(timeoutConfig={"inProgressTimeoutInMinutes": 10})
    me = {"thingName": "press-1"}
    assert [j["jobId"] for j in clients.data.get_pending_job_executions(**me)["queuedJobs"]] == [
        "job"
    ]
    seen = clients.data.describe_job_execution(jobId="$next", **me)["execution"]
    assert (seen["status"], seen["jobDocument"]) == ("QUEUED", DOCUMENT)
    assert seen["queuedAt"] == int(plant.START)
    begun = clients.data.start_next_pending_job_execution(**me, statusDetails={"a": "b"})
    assert begun["execution"]["status"] == "IN_PROGRESS"
    assert begun["execution"]["approximateSecondsBeforeTimedOut"] == 600
    assert clients.data.get_pending_job_executions(**me)["inProgressJobs"]
    done = clients.data.update_job_execution(
        jobId="job",
        status="SUCCEEDED",
        expectedVersion=2,
        includeJobExecutionState=True,
        includeJobDocument=True,
        **me,
    )
    assert done["executionState"] == {
        "status": "SUCCEEDED",
        "statusDetails": {"a": "b"},
        "versionNumber": 3,
    }
    assert json.loads(done["jobDocument"]) == {"do": "it"}
    assert refusal(clients.data.describe_job_execution, jobId="job", **me) == (
        "TerminalStateException",
        410,
    )
    assert refusal(clients.data.update_job_execution, jobId="job", status="IN_PROGRESS", **me) == (
        "InvalidStateTransitionException",
        409,
    )
    assert "execution" not in clients.data.start_next_pending_job_execution(**me)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        pytest.param({"document": "{"}, "InvalidRequestException", id="document"),
        pytest.param({"document": "x" * 32_768}, "InvalidRequestException", id="no JSON"),
        pytest.param({"document": f'"{"x" * 32_767}"'}, "InvalidRequestException", id="large"),
        pytest.param({"document": "[" * 30_000}, "InvalidRequestException", id="deep"),
        pytest.param({"targets": ["line"]}, "InvalidRequestException", id="name"),
        pytest.param({"targets": ["arn:aws:s3:::x"]}, "InvalidRequestException", id="other ARN"),
        pytest.param(
            {"targets": [doubles.group_arn("nobody")]}, "ResourceNotFoundException", id="unknown"
        ),
        pytest.param(
            {"timeoutConfig": {"inProgressTimeoutInMinutes": 10_081}},
            "InvalidRequestException",
            id="timeout",
        ),
        pytest.param(
            {
                "jobExecutionsRolloutConfig": {
                    "exponentialRate": {
                        "baseRatePerMinute": 1,
                        "incrementFactor": 2,
                        "rateIncreaseCriteria": {},
                    }
                }
            },
            "InvalidRequestException",
            id="rate",
        ),
        pytest.param(
            {"schedulingConfig": {"startTime": "2030-01-01 10:00"}},
            "InvalidRequestException",
            id="not offered",
        ),
    ],
)
def test_bad_jobs_are_refused(clients: Clients, members: dict[str, Any], code: str) -> None:
    """What the service would refuse, and what this cloud does not offer, creates nothing."""
    assert refusal(clients.create, **members)[0] == code
    assert clients.iot.list_jobs()["jobs"] == []


def test_a_job_id_is_taken_once(clients: Clients) -> None:
    """A second job of the same id is refused, and one with a bad id as well."""
    clients.create()
    assert refusal(clients.create) == ("ResourceAlreadyExistsException", 409)
    assert refusal(clients.create, job_id="a b") == ("InvalidRequestException", 400)


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("iot", "describe_job", {"jobId": "no"}),
        ("iot", "get_job_document", {"jobId": "no"}),
        ("iot", "cancel_job", {"jobId": "no"}),
        ("iot", "delete_job", {"jobId": "no"}),
        ("iot", "list_job_executions_for_job", {"jobId": "no"}),
        ("iot", "list_job_executions_for_thing", {"thingName": "no"}),
        ("iot", "describe_job_execution", {"jobId": "no", "thingName": "press-1"}),
        ("data", "get_pending_job_executions", {"thingName": "no"}),
        ("data", "start_next_pending_job_execution", {"thingName": "no"}),
        ("data", "describe_job_execution", {"jobId": "no", "thingName": "press-1"}),
        ("data", "update_job_execution", {"jobId": "no", "thingName": "no", "status": "FAILED"}),
    ],
)
def test_what_does_not_exist(
    clients: Clients, service: str, operation: str, arguments: dict[str, str]
) -> None:
    """Names of nothing are answered with ResourceNotFoundException."""
    call = getattr(getattr(clients, service), operation)
    assert refusal(call, **arguments) == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize("query", [{"nextToken": "x!"}, {"nextToken": "YWJj"}])
def test_bad_pages_are_refused(clients: Clients, query: dict[str, str]) -> None:
    """A token of somebody else is refused, not taken for the first page."""
    assert refusal(clients.iot.list_jobs, **query) == ("InvalidRequestException", 400)
