"""What devices ask over MQTT, and what they are answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import cloud_doubles as doubles
from tests.unit.cloud.jobs import plant
from verge.cloud import jobs

WIRE = Path(__file__).parents[3] / "cases" / "wire"
NEXT = f"$next/namespace-{plant.NAMESPACE}/get"


def wire(name: str) -> Any:
    """Return a pinned document."""
    return json.loads((WIRE / f"{name}.json").read_text())


def shape(value: Any) -> Any:
    """Return the names and kinds of a document, without its values."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__


def test_a_new_job_is_told_as_pinned(line: plant.Plant) -> None:
    """Creating a job publishes both notifications to each thing, in the pinned shapes."""
    line.create(document=wire("device_document"))
    listed, following = wire("job_notification"), wire("job_next_notification")
    for thing in ("press-1", "press-2", "press-3"):
        (told,) = line.told(thing, "notify")
        assert shape(told) == shape(listed)
        (told,) = line.told(thing)
        assert shape(told) == shape(following)
        assert told["execution"]["queuedAt"] == int(plant.START)
    assert line.bus.sent == []


def test_next_is_answered_as_pinned(line: plant.Plant) -> None:
    """`$next/get` answers the oldest pending job with its document and the client's token."""
    line.create(document=wire("device_document"))
    answer = line.ask("press-1", NEXT, wire("job_next_request"))
    pinned = wire("job_next_answer")
    assert shape(answer) == shape(pinned)
    assert answer["clientToken"] == pinned["clientToken"]
    assert answer["execution"]["jobDocument"] == wire("device_document")
    assert answer["execution"]["thingName"] == "press-1"


def test_nothing_next_is_answered_as_pinned(line: plant.Plant) -> None:
    """A device without jobs is answered without an execution."""
    answer = line.ask("press-1", NEXT, wire("job_next_request"))
    assert shape(answer) == shape(wire("job_next_answer_none"))


def test_a_job_goes_its_way(line: plant.Plant) -> None:
    """Reports change the execution, are answered as pinned, and the end frees the next job."""
    line.create()
    line.create("later")
    line.bus.take()
    begun = line.report("press-1", "IN_PROGRESS", clientToken="t-1")
    assert begun == {"clientToken": "t-1", "timestamp": int(plant.START)}
    assert shape(begun) == shape(wire("job_update_answer"))
    assert line.bus.sent == []
    line.report("press-1", **wire("job_update_failed"))
    (execution,) = [e for e in line.engine.executions_of_job("job") if e.thing == "press-1"]
    assert execution.status == "FAILED"
    assert execution.details == wire("job_update_failed")["statusDetails"]
    (following,) = line.told("press-1")
    assert following["execution"]["jobId"] == "later"
    (listed,) = line.told("press-1", "notify")
    assert [each["jobId"] for each in listed["jobs"]["QUEUED"]] == ["later"]


def test_the_answer_comes_before_what_follows(line: plant.Plant) -> None:
    """A device hears that its report was taken before it hears of the next job."""
    line.create()
    line.bus.take()
    line.bus.receive(
        f"$aws/things/press-1/jobs/job/namespace-{plant.NAMESPACE}/update",
        {"status": "SUCCEEDED"},
    )
    ends = [topic.rsplit("/", 1)[1] for topic, _ in line.bus.sent]
    suffix = f"-namespace-{plant.NAMESPACE}"
    assert ends == ["accepted", f"notify{suffix}", f"notify-next{suffix}"]


def test_the_last_end_is_told_as_pinned(line: plant.Plant) -> None:
    """When nothing is left, the notifications say so."""
    line.create()
    line.bus.take()
    line.report("press-1", "SUCCEEDED")
    assert shape(line.told("press-1")) == [shape(wire("job_next_notification_none"))]
    assert shape(line.told("press-1", "notify")) == [shape(wire("job_notification_none"))]


def test_versions_are_counted_and_checked(line: plant.Plant) -> None:
    """Each report raises the version; one that expects another is rejected with the state."""
    line.create()
    state = line.report("press-1", "IN_PROGRESS", includeJobExecutionState=True)["executionState"]
    assert state == {"status": "IN_PROGRESS", "statusDetails": {}, "versionNumber": 2}
    refused = line.report("press-1", "SUCCEEDED", expectedVersion=1)["rejected"]
    assert refused["code"] == "VersionMismatch"
    assert refused["executionState"] == state
    done = line.report("press-1", "SUCCEEDED", expectedVersion=2, includeJobExecutionState=True)
    assert done["executionState"]["versionNumber"] == 3


def test_a_repeated_end_is_accepted_once_counted(line: plant.Plant) -> None:
    """A report that arrives twice is accepted twice and changes the execution once."""
    line.create()
    for _ in range(2):
        answer = line.report("press-1", "SUCCEEDED", includeJobExecutionState=True)
        assert answer["executionState"]["versionNumber"] == 2


def test_an_end_is_final(line: plant.Plant) -> None:
    """A device cannot take an end back; the refusal has the pinned shape."""
    line.create()
    line.engine.cancel("job")
    refused = line.report("press-1", "IN_PROGRESS", clientToken="jobs-2")["rejected"]
    assert shape(refused) == shape(wire("job_update_refusal"))
    assert refused["code"] == "InvalidStateTransition"


@pytest.mark.parametrize(
    ("rest", "payload", "code"),
    [
        pytest.param("job/namespace-x/update", {"status": "SUCCEEDED"}, "ResourceNotFound", id="n"),
        pytest.param("job/update", {"status": "SUCCEEDED"}, "ResourceNotFound", id="no namespace"),
        pytest.param("other/get", {}, "ResourceNotFound", id="no job"),
        pytest.param("job/what/get", {}, "InvalidTopic", id="topic"),
        pytest.param(NEXT, b"{", "InvalidJson", id="truncated"),
        pytest.param(NEXT, b"\xff\x00", "InvalidJson", id="binary"),
        pytest.param(NEXT, b'{"x":' + b"[" * 100_000, "InvalidJson", id="deep"),
        pytest.param(NEXT, b"[]", "InvalidRequest", id="list"),
        pytest.param("start-next", b'{"stepTimeoutInMinutes": "x"}', "InvalidRequest", id="word"),
    ],
)
def test_bad_requests_are_rejected(line: plant.Plant, rest: str, payload: Any, code: str) -> None:
    """Whatever cannot be done is rejected with the code of the jobs service."""
    line.create()
    assert line.ask("press-1", rest, payload)["rejected"]["code"] == code


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"status": "QUEUED"}, id="no word for devices"),
        pytest.param({"status": "TIMED_OUT"}, id="time is ours"),
        pytest.param({"status": "done"}, id="no word at all"),
        pytest.param({"status": 5}, id="number"),
        pytest.param({}, id="none"),
        pytest.param({"status": "FAILED", "statusDetails": {"a b": "c"}}, id="detail name"),
        pytest.param({"status": "FAILED", "statusDetails": {"a": "c" * 1025}}, id="detail length"),
        pytest.param({"status": "FAILED", "statusDetails": {"a": ["c"]}}, id="detail kind"),
        pytest.param({"status": "IN_PROGRESS", "stepTimeoutInMinutes": 0}, id="step"),
    ],
)
def test_bad_reports_change_nothing(line: plant.Plant, members: dict[str, Any]) -> None:
    """A report that makes no sense is refused and leaves the execution as it was."""
    line.create()
    rest = f"job/namespace-{plant.NAMESPACE}/update"
    assert line.ask("press-1", rest, members)["rejected"]["code"] == "InvalidRequest"
    assert set(line.statuses().values()) == {"QUEUED"}


def test_jobs_without_a_namespace(line: plant.Plant) -> None:
    """Topics without a namespace know the jobs without one, and only those."""
    line.create("gg")
    line.bus.take()
    line.create("plain", namespace=None)
    told = line.bus.take("press-1/jobs/notify-next")
    assert told[0]["execution"]["jobId"] == "plain"
    assert line.bus.take("press-1/jobs/notify")[0]["jobs"]["QUEUED"][0]["jobId"] == "plain"
    pending = line.ask("press-1", "get")
    assert [each["jobId"] for each in pending["queuedJobs"]] == ["plain"]
    assert pending["inProgressJobs"] == []
    begun = line.ask("press-1", "start-next", {"statusDetails": {"step": "1"}})["execution"]
    assert (begun["jobId"], begun["status"]) == ("plain", "IN_PROGRESS")
    assert begun["statusDetails"] == {"step": "1"}
    assert line.ask("press-1", "start-next")["execution"]["versionNumber"] == 2
    shown = line.ask("press-1", "plain/get", {"includeJobDocument": False})["execution"]
    assert "jobDocument" not in shown
    line.ask("press-1", "plain/update", {"status": "SUCCEEDED"})
    refused = line.ask("press-1", "plain/get")["rejected"]
    assert refused["code"] == "TerminalStateReached"
    assert "execution" not in line.ask("press-1", "start-next")


def test_what_is_in_progress_comes_first(line: plant.Plant) -> None:
    """The next job is the one in progress, then the oldest in the queue."""
    line.create("first")
    line.now += 1
    line.create("second")
    line.report("press-1", "IN_PROGRESS", "second")
    assert line.ask("press-1", NEXT)["execution"]["jobId"] == "second"
    line.report("press-1", "SUCCEEDED", "second")
    assert line.ask("press-1", NEXT)["execution"]["jobId"] == "first"


def test_a_new_connection_repeats_what_is_pending(line: plant.Plant) -> None:
    """After a kill nobody knows what reached the devices, so the pending jobs are told again."""
    line.create()
    line.report("press-1", "SUCCEEDED")
    line.restart()
    line.bus.connect()
    line.look()
    assert not line.told("press-1")
    assert line.told("press-2")[0]["execution"]["jobId"] == "job"
    assert line.told("press-2", "notify")[0]["jobs"]["QUEUED"]


def test_filters_leave_out_what_the_cloud_says() -> None:
    """No filter matches an answer or a notification: the cloud would hear itself."""
    sent = ["get/accepted", "notify", "notify-next", "j/update/accepted", "j/n/get/rejected"]
    sent += ["notify-namespace-x", "j/namespace-x/update/accepted", "$next/get/accepted"]
    filters = jobs.topics.FILTERS
    for each in sent:
        topic = f"$aws/things/press-1/jobs/{each}"
        assert not [f for f in filters if doubles.matches(f, topic)], topic
