"""Jobs and the deployment shadow over a link that a test plays, with the real queue behind."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from verge.nucleus import paths, settings
from verge.nucleus.cloud import jobs, shadow
from verge.nucleus.cloud.link import Handler
from verge.nucleus.deployment import fleet, history, queue
from verge.nucleus.deployment.documents import Channel, Detail, Phase, Record, Status
from verge.nucleus.store import database

WIRE = Path(__file__).parents[3] / "cases" / "wire"
BASE = "$aws/things/press-01/jobs"
NEXT = f"{BASE}/$next/{jobs.NAMESPACE}/get"
SHADOW = f"$aws/things/press-01/shadow/name/{shadow.NAME}"
LIMIT = 0.5


def pinned(name: str) -> dict[str, Any]:
    """Return a document that both sides have agreed upon."""
    document: dict[str, Any] = json.loads((WIRE / f"{name}.json").read_text())
    return document


class Wire:
    """A link whose other end is the test."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.sent: list[tuple[str, Any]] = []
        self.answer: Callable[[str, Any], tuple[str, Any] | None] = lambda _topic, _body: None

    def listen(self, topic: str, handler: Handler) -> None:
        self.handlers[topic] = handler

    async def listen_now(self, topic: str, handler: Handler) -> None:
        self.listen(topic, handler)

    async def forget(self, topic: str) -> None:
        del self.handlers[topic]

    async def publish(self, topic: str, document: Any) -> None:
        self.sent.append((topic, document))
        if answer := self.answer(topic, document):
            self.arrive(*answer)

    def arrive(self, topic: str, document: Any) -> None:
        asyncio.get_running_loop().call_soon(self.handlers[topic], topic, document)


class Executor:
    """Remembers what is cancelled; the tests end deployments themselves."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def cancel(self, record: Record) -> None:
        self.cancelled.append(record.id)


class Bench:
    """The real history, queue and intake, and one of the two channels."""

    def __init__(self, db: database.Database, directory: Path) -> None:
        where = paths.Paths(directory)
        where.create()
        self.wire = Wire()
        self.executor = Executor()
        self.records = history.History(db, where.deployments)
        self.deployments = queue.Deployments(
            settings.Settings(where), self.records, cast(Any, self.executor), lambda: 1000.0
        )
        self.intake = fleet.Intake(self.records, self.deployments, lambda: 1000.0)
        self.jobs = jobs.Jobs("press-01", self.wire, self.intake, LIMIT)
        self.shadow = shadow.Shadow("press-01", self.wire, self.intake, LIMIT)

        def changed(record: Record) -> None:
            self.jobs.changed(record)
            self.shadow.changed(record)

        self.records.changed = changed

    @contextlib.asynccontextmanager
    async def linked(self, part: jobs.Jobs | shadow.Shadow) -> AsyncIterator[None]:
        """Let a part work as if there was a link."""
        work = asyncio.ensure_future(part.linked())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.wait([work])

    @property
    def all(self) -> list[Record]:
        return list(self.records.records.values())

    def begin(self, record: Record) -> None:
        record.status = Status.IN_PROGRESS
        self.records.save(record, Phase.PREPARING)

    def end(self, record: Record, status: Status = Status.SUCCEEDED, **facts: Any) -> None:
        record.status = status
        for name, value in {"detail": Detail.SUCCESSFUL, **facts}.items():
            setattr(record, name, value)
        self.records.save(record, Phase.DONE)

    async def until(self, reached: Callable[[], Any], what: str) -> None:
        end = asyncio.get_running_loop().time() + 5
        while not reached():
            assert asyncio.get_running_loop().time() < end, f"never: {what}"
            await asyncio.sleep(0.005)

    def updates(self) -> list[dict[str, Any]]:
        """Return the statuses that were reported for jobs."""
        return [body for topic, body in self.wire.sent if topic.endswith("/update")]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[database.Database]:
    """Return an empty database."""
    opened = database.Database(tmp_path / "db")
    yield opened
    opened.close()


@pytest.fixture
async def bench(db: database.Database, tmp_path: Path) -> Bench:
    """Return a bench of this test's own."""
    return Bench(db, tmp_path / "root")


def cloud(execution: dict[str, Any] | None) -> Callable[[str, Any], tuple[str, Any] | None]:
    """Return a cloud that has one job, or none, and takes every status."""

    def answer(topic: str, body: Any) -> tuple[str, Any] | None:
        found = {"clientToken": body["clientToken"], "timestamp": 1}
        if topic == NEXT and execution:
            found["execution"] = execution
        return f"{topic}/accepted", found

    return answer


def execution(**members: Any) -> dict[str, Any]:
    return {**copy.deepcopy(pinned("job_next_answer")["execution"]), **members}


async def test_job_is_asked_for_taken_and_reported(bench: Bench) -> None:
    """Question and report are the pinned documents but for their token, the statuses in order."""
    bench.wire.answer = cloud(execution())
    async with bench.linked(bench.jobs):
        await bench.until(lambda: bench.all, "taken")
        (record,) = bench.all
        assert record.id == execution()["jobDocument"]["deploymentId"]
        bench.begin(record)
        await bench.until(lambda: record.reported == "IN_PROGRESS", "begun")
        bench.end(record)
        await bench.until(lambda: record.reported == "SUCCEEDED", "ended")
    question = bench.wire.sent[0]
    assert question == (NEXT, {**pinned("job_next_request"), "clientToken": "press-01-1"})
    begun, ended = bench.updates()
    assert begun["status"] == "IN_PROGRESS"
    assert {**ended, "clientToken": "jobs-2"} == pinned("job_update")


async def test_failure_is_reported_in_full(bench: Bench) -> None:
    """Cause and codes go along as texts of at most 1,024 characters (contract 5.8)."""
    bench.wire.answer = cloud(execution())
    async with bench.linked(bench.jobs):
        await bench.until(lambda: bench.all, "taken")
        facts = pinned("job_update_failed")["statusDetails"]
        bench.end(
            bench.all[0],
            Status.FAILED,
            detail=Detail.ROLLBACK_COMPLETE,
            failure_cause=facts["deployment-failure-cause"],
            error_stack=json.loads(facts["deployment-error-stack"]),
            error_types=json.loads(facts["deployment-error-types"]),
        )
        await bench.until(bench.updates, "reported")
    (ended,) = bench.updates()
    assert {**ended, "clientToken": "jobs-2"} == pinned("job_update_failed")
    bench.all[0].failure_cause = "x" * 5000
    assert len(jobs.details(bench.all[0])["deployment-failure-cause"]) == 1024


async def test_job_is_taken_once(bench: Bench) -> None:
    """The same job again is no second deployment; queued anew, it is (contract 5.8)."""
    first = execution()
    for again in (first, {**first, "queuedAt": first["queuedAt"] - 1}, first):
        bench.wire.handlers[f"{BASE}/notify-next-{jobs.NAMESPACE}"](
            "", {"timestamp": 1, "execution": again}
        )
    assert len(bench.all) == 1
    bench.end(bench.all[0])
    renewed = {**first, "queuedAt": first["queuedAt"] + 1}
    bench.wire.handlers[f"{BASE}/notify-next-{jobs.NAMESPACE}"]("", {"execution": renewed})
    assert len(bench.all) == 2
    assert len({record.id for record in bench.all}) == 2


async def test_status_is_repeated_until_it_is_taken(bench: Bench) -> None:
    """Silence and throttling are answered by telling it again."""
    take = cloud(execution())
    refusals = [None, "RequestThrottled", "InternalError"]

    def answer(topic: str, body: Any) -> tuple[str, Any] | None:
        if not topic.endswith("/update") or not refusals:
            return take(topic, body)
        code = refusals.pop(0)
        refused = {"clientToken": body["clientToken"], "code": code}
        return (f"{topic}/rejected", refused) if code else None

    bench.wire.answer = answer
    async with bench.linked(bench.jobs):
        await bench.until(lambda: bench.all, "taken")
        bench.end(bench.all[0])
        await bench.until(lambda: bench.all[0].reported == "SUCCEEDED", "taken at last")
    assert len(bench.updates()) == 4


async def test_statuses_outlive_the_nucleus(
    bench: Bench, db: database.Database, tmp_path: Path
) -> None:
    """What ended without a link is told by the next nucleus, also after fifty others."""
    bench.wire.handlers[f"{BASE}/notify-next-{jobs.NAMESPACE}"]("", {"execution": execution()})
    bench.end(bench.all[0])
    bench.records.forget_old()
    later = Bench(db, tmp_path / "root")
    later.wire.answer = cloud(None)
    async with later.linked(later.jobs):
        await later.until(lambda: later.all[0].reported == "SUCCEEDED", "told")
    again = Bench(db, tmp_path / "root")
    assert not again.intake.unreported(again.all[0].fleet.channel)  # type: ignore[union-attr]


async def test_cloud_that_forgot_is_told_again(
    bench: Bench, db: database.Database, tmp_path: Path
) -> None:
    """A job that comes as QUEUED though its end was told is told again, but not at once."""
    bench.wire.answer = cloud(execution())
    async with bench.linked(bench.jobs):
        await bench.until(lambda: bench.all, "taken")
        bench.end(bench.all[0])
        await bench.until(lambda: [t for t, _ in bench.wire.sent].count(NEXT) == 2, "asked again")
        bench.wire.arrive(f"{BASE}/notify-{jobs.NAMESPACE}", pinned("job_notification"))
        await bench.until(lambda: [t for t, _ in bench.wire.sent].count(NEXT) == 3, "and again")
    assert len(bench.updates()) == 1
    later = Bench(db, tmp_path / "root")
    later.wire.answer = cloud(execution())
    async with later.linked(later.jobs):
        await later.until(later.updates, "told again")
    assert later.updates()[0]["status"] == "SUCCEEDED"


async def test_refused_status_is_dropped_and_ends_the_deployment(bench: Bench) -> None:
    """A job that the cloud has ended is given up on the device, and never told again."""
    take = cloud(execution())
    refusal = pinned("job_update_refusal")

    def answer(topic: str, body: Any) -> tuple[str, Any] | None:
        if topic.endswith("/update"):
            return f"{topic}/rejected", {**refusal, "clientToken": body["clientToken"]}
        return take(topic, body)

    bench.wire.answer = answer
    async with bench.linked(bench.jobs):
        await bench.until(lambda: bench.all, "taken")
        bench.begin(bench.all[0])
        await bench.until(lambda: bench.executor.cancelled, "given up")
    assert len(bench.updates()) == 1


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        (f"{BASE}/notify-{jobs.NAMESPACE}", "job_notification_none"),
        (f"{BASE}/notify-next-{jobs.NAMESPACE}", "job_next_notification_none"),
    ],
)
async def test_nothing_pending_cancels(bench: Bench, topic: str, name: str) -> None:
    """A notification without jobs cancels the one that is at work (contract 5.8)."""
    bench.wire.handlers[f"{BASE}/notify-next-{jobs.NAMESPACE}"]("", {"execution": execution()})
    bench.begin(bench.all[0])
    bench.wire.handlers[topic](topic, pinned(name))
    assert bench.executor.cancelled == [bench.all[0].id]


async def test_listed_job_is_not_cancelled(bench: Bench) -> None:
    """A notification that lists the job at work changes nothing."""
    bench.wire.handlers[f"{BASE}/notify-next-{jobs.NAMESPACE}"]("", {"execution": execution()})
    bench.begin(bench.all[0])
    bench.wire.handlers[f"{BASE}/notify-{jobs.NAMESPACE}"]("", pinned("job_notification"))
    assert bench.executor.cancelled == []


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(None, id="none"),
        pytest.param("text", id="text"),
        pytest.param({}, id="empty"),
        pytest.param({"deploymentId": 5}, id="number"),
        pytest.param({**pinned("device_document"), "configurationArn": "arn:x"}, id="arn"),
    ],
)
async def test_garbage_is_rejected(bench: Bench, document: Any) -> None:
    """A document that cannot be used is reported as REJECTED with the reason, and not again."""
    bench.wire.answer = cloud(execution(jobDocument=document))
    async with bench.linked(bench.jobs):
        await bench.until(lambda: bench.all and bench.all[0].reported, "told")
    (update,) = bench.updates()
    assert update["status"] == "REJECTED"
    assert "deployment document" in update["statusDetails"]["deployment-failure-cause"]
    assert bench.deployments.status(bench.all[0].id).status == "FAILED"


@pytest.mark.parametrize("message", [{"execution": 5}, {"execution": []}, {"jobs": 3}, {}])
async def test_messages_without_sense_do_nothing(bench: Bench, message: dict[str, Any]) -> None:
    """Nothing is taken from a message that is not what it should be."""
    for topic in (f"{BASE}/notify-{jobs.NAMESPACE}", f"{BASE}/notify-next-{jobs.NAMESPACE}"):
        bench.wire.handlers[topic](topic, message)
    assert bench.all == []


def shadow_cloud(bench: Bench, answers: dict[str, Any]) -> None:
    """Let the cloud answer for the shadow: `get` and `update` say how."""

    def answer(topic: str, body: Any) -> tuple[str, Any] | None:
        if topic == f"{SHADOW}/get":
            return f"{topic}/accepted", answers["get"]
        outcome = answers["update"].pop(0) if answers["update"] else "accepted"
        if outcome != "accepted":
            refusal = {**pinned("shadow_refusal"), "clientToken": body["clientToken"]}
            return f"{topic}/rejected", {**refusal, "code": outcome}
        taken = {"state": body["state"], "version": body["version"] + 1}
        return f"{topic}/accepted", {**taken, "clientToken": body["clientToken"]}

    bench.wire.answer = answer


async def test_shadow_is_got_carried_out_and_reported(bench: Bench) -> None:
    """The report is the pinned one, with the version that was seen last."""
    shadow_cloud(bench, {"get": pinned("shadow_answer"), "update": []})
    async with bench.linked(bench.shadow):
        await bench.until(lambda: bench.all, "taken")
        (record,) = bench.all
        assert record.origin == "thing/press-01"
        bench.end(record)
        await bench.until(lambda: record.reported == "SUCCEEDED", "told")
    assert bench.wire.sent[0] == (f"{SHADOW}/get", None)
    wanted = pinned("shadow_report")
    wanted["state"]["reported"]["ggcVersion"] = settings.VERSION
    sent = bench.wire.sent[-1][1]
    assert {**sent, "clientToken": "shadow-1"} == wanted


async def test_conflict_is_got_over(bench: Bench) -> None:
    """A report that came too late for the shadow's version is made again with the newer one."""
    got = pinned("shadow_answer")
    shadow_cloud(bench, {"get": got, "update": [409]})
    async with bench.linked(bench.shadow):
        await bench.until(lambda: bench.all, "taken")
        got["version"] = 20
        bench.end(bench.all[0])
        await bench.until(lambda: bench.all[0].reported == "SUCCEEDED", "told")
    versions = [b["version"] for t, b in bench.wire.sent if t == f"{SHADOW}/update"]
    assert versions == [12, 20]


async def test_long_cause_fits_the_shadow(bench: Bench) -> None:
    """A failure with pages of output is reported with as much of it as a shadow takes."""
    shadow_cloud(bench, {"get": pinned("shadow_answer"), "update": []})
    async with bench.linked(bench.shadow):
        await bench.until(lambda: bench.all, "taken")
        cause = "com.example.Press is BROKEN\n" + "  a line of output\n" * 1000
        bench.end(bench.all[0], Status.FAILED, failure_cause=cause)
        await bench.until(lambda: bench.all[0].reported == "FAILED", "told")
    said = bench.wire.sent[-1][1]["state"]["reported"]["statusDetails"]["failureCause"]
    assert said == cause[: jobs.DETAIL_LENGTH]


async def test_report_that_is_refused_for_good_is_not_made_again(bench: Bench) -> None:
    """What the shadow will never hold is given up, so the next deployment is reported."""
    shadow_cloud(bench, {"get": pinned("shadow_answer"), "update": [413]})
    async with bench.linked(bench.shadow):
        await bench.until(lambda: bench.all, "taken")
        bench.end(bench.all[0])
        await bench.until(lambda: bench.all[0].reported == "SUCCEEDED", "given up")
    assert [topic for topic, _ in bench.wire.sent] == [f"{SHADOW}/get", f"{SHADOW}/update"]


async def test_cloud_that_refuses_for_now_is_asked_less_often(bench: Bench) -> None:
    """A report that is refused for another reason than its version is made again after a pause."""
    shadow_cloud(bench, {"get": pinned("shadow_answer"), "update": [500, 429]})
    began = asyncio.get_running_loop().time()
    async with bench.linked(bench.shadow):
        await bench.until(lambda: bench.all, "taken")
        bench.end(bench.all[0])
        await bench.until(lambda: bench.all[0].reported == "SUCCEEDED", "told")
    assert asyncio.get_running_loop().time() - began >= 2 * LIMIT / 10


@pytest.mark.parametrize(("status", "taken"), [("SUCCEEDED", 0), ("FAILED", 0), ("IN_PROGRESS", 1)])
async def test_what_was_done_is_not_done_again(bench: Bench, status: str, taken: int) -> None:
    """A configuration that was reported is skipped at start unless it had not ended."""
    got = pinned("shadow_answer")
    reported = pinned("shadow_report")["state"]["reported"]
    got["state"]["reported"] = {**reported, "status": status}
    bench.wire.handlers[f"{SHADOW}/get/accepted"]("", got)
    assert len(bench.all) == taken


async def test_cloud_that_was_set_up_anew_is_believed(bench: Bench) -> None:
    """The same configuration's name with another deployment behind it is another deployment."""
    got = pinned("shadow_answer")
    take = bench.wire.handlers[f"{SHADOW}/get/accepted"]
    take("", got)
    bench.end(bench.all[0])
    bench.intake.reported(bench.all[0], "SUCCEEDED")
    take("", got)  # a shadow that has lost what it was told
    assert len(bench.all) == 1
    assert bench.intake.unreported(Channel.SHADOW) == bench.all
    bench.intake.reported(bench.all[0], "SUCCEEDED")
    document = json.loads(got["state"]["desired"]["fleetConfig"])
    document["deploymentId"] = "of the new cloud"
    got["state"]["desired"]["fleetConfig"] = json.dumps(document)
    take("", got)
    assert [r.fleet.deployment_id for r in bench.all if r.fleet][1:] == ["of the new cloud"]


async def test_newer_shadow_replaces_the_one_at_work(bench: Bench) -> None:
    """Only the newest configuration counts; what is older than the last seen is ignored."""
    first = pinned("shadow_update_accepted")
    second = copy.deepcopy(first)
    document = json.loads(second["state"]["desired"]["fleetConfig"])
    document["configurationArn"] = document["configurationArn"].replace(":4", ":5")
    document["deploymentId"] = "another"
    second["state"]["desired"]["fleetConfig"] = json.dumps(document)
    second["version"] = 13
    take = bench.wire.handlers[f"{SHADOW}/update/accepted"]
    take("", first)
    bench.begin(bench.all[0])
    take("", second)
    take("", first)
    assert bench.executor.cancelled == [bench.all[0].id]
    assert [r.fleet.configuration_arn[-2:] for r in bench.all if r.fleet] == [":4", ":5"]


async def test_desired_cancel_cancels(bench: Bench) -> None:
    """`desiredStatus: CANCELED` gives the deployment up (contract 5.8)."""
    take = bench.wire.handlers[f"{SHADOW}/update/accepted"]
    message = pinned("shadow_update_accepted")
    take("", message)
    bench.begin(bench.all[0])
    message["state"]["desired"]["desiredStatus"] = "CANCELED"
    take("", {**message, "version": 13})
    assert bench.executor.cancelled == [bench.all[0].id]


@pytest.mark.parametrize(
    "desired",
    [
        5,
        {},
        {"fleetConfig": "{", "desiredStatus": "SUCCEEDED"},
        {"fleetConfig": "[]", "desiredStatus": "SUCCEEDED"},
        {"fleetConfig": "{}", "desiredStatus": "SUCCEEDED"},
        {"fleetConfig": '{"configurationArn": null}', "desiredStatus": "SUCCEEDED"},
        {"fleetConfig": '{"configurationArn": "x"}', "desiredStatus": None},
        {"fleetConfig": None, "desiredStatus": "SUCCEEDED"},
    ],
)
async def test_shadow_without_sense_is_ignored(bench: Bench, desired: Any) -> None:
    """A desired state that names no configuration is no deployment (contract 5.8)."""
    message = {"state": {"desired": desired}, "version": 3}
    bench.wire.handlers[f"{SHADOW}/update/accepted"]("", message)
    assert bench.all == []


async def test_no_shadow_is_no_fault(bench: Bench) -> None:
    """A thing without a deployment has no shadow; the device waits for one to come."""
    bench.wire.answer = lambda topic, _: (f"{topic}/rejected", {"code": 404, "message": "none"})
    async with bench.linked(bench.shadow):
        await bench.until(lambda: bench.wire.sent, "asked")
        await asyncio.sleep(0)
        bench.wire.arrive(f"{SHADOW}/update/accepted", pinned("shadow_update_accepted"))
        await bench.until(lambda: bench.all, "taken")
    assert [topic for topic, _ in bench.wire.sent] == [f"{SHADOW}/get"]
