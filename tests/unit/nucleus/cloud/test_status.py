"""Status reports (Greengrass contract 5.9)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from verge.nucleus import paths, settings
from verge.nucleus.cloud import status
from verge.nucleus.deployment import groups
from verge.nucleus.deployment.documents import Channel, Detail, Fleet, Record, Status
from verge.nucleus.ipc import host
from verge.nucleus.lifecycle.states import State
from verge.nucleus.store import database

WIRE = Path(__file__).parents[3] / "cases" / "wire"
ARN = "arn:aws:greengrass:eu-west-1:123456789012:configuration:thinggroup/line1:3"
EDGE = status.Component("com.example.Edge", "1.2.0", State.RUNNING, is_root=True, arns=(ARN,))
MODEL = status.Component("com.example.Model", "1.0.0", State.FINISHED, is_root=True, arns=(ARN,))
SPACING = 0.05


class Device:
    """Components that a test changes."""

    def __init__(self) -> None:
        self.now: Sequence[status.Component] = (EDGE, MODEL)
        self.at_work = False
        self._changed = asyncio.Event()

    def components(self) -> Sequence[status.Component]:
        return self.now

    def become(self, *components: status.Component) -> None:
        self.now = components
        self.wake()

    async def until(self, reached: Callable[[], bool], deadline: float | None = None) -> bool:
        while not reached():
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                return False
        return True

    def wake(self) -> None:
        self._changed.set()

    def busy(self) -> bool:
        return self.at_work


class Bench:
    """A reporter and what it says."""

    def __init__(self, db: database.Database, directory: Path) -> None:
        self.device = Device()
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.times: list[float] = []
        self.meanwhile: Callable[[], None] = lambda: None
        """Called while a message is on its way."""
        self.reporter = self.make(db, directory)

    def make(self, db: database.Database, directory: Path) -> status.Reporter:
        configured = settings.Settings(paths.Paths(directory), thing_name="press-01")
        known = groups.Groups(db)
        return status.Reporter(
            configured, self._publish, self.device, known, lambda: 1_700_000_031.0, SPACING
        )

    async def _publish(self, topic: str, document: Any) -> None:
        self.meanwhile()
        assert topic == "$aws/things/press-01/greengrassv2/health/json"
        assert len(json.dumps(document)) <= 128_000
        self.times.append(asyncio.get_running_loop().time())
        self.said.put_nowait(document)

    @contextlib.asynccontextmanager
    async def linked(self) -> AsyncIterator[None]:
        """Report as if there was a link."""
        work = asyncio.ensure_future(self.reporter.linked())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.wait([work])

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return await self.said.get()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[database.Database]:
    """Return an empty database."""
    opened = database.Database(tmp_path / "db")
    yield opened
    opened.close()


@pytest.fixture
async def bench(db: database.Database, tmp_path: Path) -> Bench:
    """Return a bench of this test's own."""
    return Bench(db, tmp_path)


def record(identity: str = "d", **members: Any) -> Record:
    facts = {"status": Status.SUCCEEDED, "detail": Detail.SUCCESSFUL, **members}
    return Record(id=identity, created=1.0, request=host.LocalDeployment(), **facts)


async def test_launch_tells_everything(bench: Bench) -> None:
    """The first report of a nucleus is complete and has no deployment in it."""
    async with bench.linked():
        first = await bench.next()
    assert (first["messageType"], first["trigger"]) == ("COMPLETE", "NUCLEUS_LAUNCH")
    assert [one["componentName"] for one in first["components"]] == [EDGE.name, MODEL.name]
    assert first["overallDeviceStatus"] == "HEALTHY"
    assert "deploymentInformation" not in first
    assert "chunkInfo" not in first


async def test_report_is_the_pinned_one(bench: Bench) -> None:
    """The members and their spelling are what the cloud reads."""
    wanted = json.loads((WIRE / "status.json").read_text())
    given = Fleet(
        channel=Channel.JOB,
        deployment_id=wanted["deploymentInformation"]["deploymentId"],
        configuration_arn=ARN,
        group="thinggroup/line1",
    )
    details = wanted["deploymentInformation"]["statusDetails"]
    async with bench.linked():
        await bench.next()
        bench.device.now = ()
        bench.device.become(
            status.Component(
                EDGE.name,
                EDGE.version,
                State.BROKEN,
                is_root=True,
                arns=(ARN,),
                code="RUN_ERROR",
                reason="the script ended with 1",
            ),
            status.Component(MODEL.name, "1.0.0", State.FINISHED, is_root=True, arns=(ARN, "")),
        )
        bench.reporter.changed(
            record(
                fleet=given,
                status=Status.FAILED,
                detail=Detail.ROLLBACK_COMPLETE,
                failure_cause=details["failureCause"],
                error_stack=details["errorStack"],
                error_types=details["errorTypes"],
            )
        )
        found = await bench.next()
    assert found.keys() == wanted.keys() - {"chunkInfo"}
    fresh = {"ggcVersion": settings.VERSION, "sequenceNumber": 2}
    for name in found.keys() - {"components", "deploymentInformation"}:
        assert found[name] == {**wanted, **fresh}[name], name
    assert found["components"][0] == wanted["components"][0]
    assert found["components"][1].keys() == wanted["components"][1].keys()
    assert found["deploymentInformation"] == wanted["deploymentInformation"]


@pytest.mark.parametrize(
    ("channel", "trigger"),
    [
        (None, "LOCAL_DEPLOYMENT"),
        (Channel.JOB, "THING_GROUP_DEPLOYMENT"),
        (Channel.SHADOW, "THING_DEPLOYMENT"),
    ],
)
async def test_every_deployment_is_told_once(
    bench: Bench, channel: Channel | None, trigger: str
) -> None:
    """The end of a deployment is one message, however often its record is written back."""
    fleet = Fleet(channel=channel, deployment_id="f") if channel else None
    async with bench.linked():
        await bench.next()
        one = record(fleet=fleet)
        bench.reporter.changed(one)
        told = await bench.next()
        assert (told["messageType"], told["trigger"]) == ("PARTIAL", trigger)
        bench.reporter.changed(one)
        bench.reporter.changed(record("another"))
        assert (await bench.next())["deploymentInformation"]["deploymentId"] == "another"


async def test_broken_component_is_told_at_once(bench: Bench) -> None:
    """A change that matters is told alone, with what went wrong; a transition is not."""
    async with bench.linked():
        await bench.next()
        starting = status.Component(EDGE.name, "1.2.0", State.STARTING, is_root=True, arns=(ARN,))
        bench.device.become(starting, MODEL)
        bench.device.at_work = True
        broken = status.Component(
            EDGE.name, "1.2.0", State.BROKEN, is_root=True, arns=(ARN,), code="RUN_ERROR"
        )
        bench.device.become(broken, MODEL)
        told = await bench.next()
    assert told["trigger"] == "COMPONENT_STATUS_CHANGE"
    assert told["overallDeviceStatus"] == "UNHEALTHY"
    assert [one["status"] for one in told["components"]] == ["BROKEN"]


async def test_changes_of_a_deployment_come_with_its_end(bench: Bench) -> None:
    """While a deployment is at work, what it does is not told piece by piece."""
    async with bench.linked():
        await bench.next()
        bench.device.at_work = True
        newer = status.Component(EDGE.name, "1.3.0", State.RUNNING, is_root=True, arns=(ARN,))
        bench.device.become(newer)
        bench.device.at_work = False
        bench.reporter.changed(record())
        told = await bench.next()
        assert told["trigger"] == "LOCAL_DEPLOYMENT"
        states = {one["componentName"]: one["status"] for one in told["components"]}
        assert states == {EDGE.name: "RUNNING", MODEL.name: "UNINSTALLED"}
    assert bench.said.empty()


async def test_reconnect_tells_what_changed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage the changes are told; a link that flaps is not worth a message."""
    async with bench.linked():
        await bench.next()
    bench.device.become(EDGE)
    async with bench.linked():
        flapped = await bench.next()
        assert flapped["trigger"] == "COMPONENT_STATUS_CHANGE"
    monkeypatch.setattr(status, "RECONNECT_QUIET", 0.0)
    async with bench.linked():
        told = await bench.next()
    assert (told["messageType"], told["trigger"]) == ("PARTIAL", "RECONNECT")


async def test_many_components_take_several_messages(bench: Bench) -> None:
    """A list above the limit is split, numbered and complete (at most 128,000 bytes each)."""
    bench.device.now = [
        status.Component(
            f"com.example.C{n}", "1.0.0", State.BROKEN, is_root=True, arns=(ARN,), reason="x" * 300
        )
        for n in range(500)
    ]
    async with bench.linked():
        first = await bench.next()
        total = first["chunkInfo"]["totalChunks"]
        others = [await bench.next() for _ in range(total - 1)]
    assert total > 1
    messages = [first, *others]
    assert [m["chunkInfo"]["chunkId"] for m in messages] == list(range(1, total + 1))
    assert len({c["componentName"] for m in messages for c in m["components"]}) == 500


async def test_messages_keep_their_distance_and_count_on(
    bench: Bench, db: database.Database, tmp_path: Path
) -> None:
    """Messages lie apart, and their numbers grow over the end of the nucleus."""
    async with bench.linked():
        await bench.next()
        for number in range(3):
            bench.reporter.changed(record(str(number)))
        numbers = [(await bench.next())["sequenceNumber"] for _ in range(3)]
    assert numbers == [2, 3, 4]
    gaps = [later - before for before, later in zip(bench.times, bench.times[1:], strict=False)]
    assert min(gaps) >= SPACING * 0.9
    bench.reporter = bench.make(db, tmp_path)
    async with bench.linked():
        assert (await bench.next())["sequenceNumber"] == 5


async def test_cadence_tells_everything_again(bench: Bench) -> None:
    """Once in a while everything is told, though nothing has changed."""
    one = bench.reporter._settings
    object.__setattr__(one.cloud, "status_interval", 0.2)
    async with bench.linked():
        await bench.next()
        again = await bench.next()
    assert (again["messageType"], again["trigger"]) == ("COMPLETE", "CADENCE")


async def test_deployment_that_tells_much_fits(bench: Bench) -> None:
    """The cause of a failure is cut, and leaves the components room in the messages."""
    async with bench.linked():
        await bench.next()
        bench.device.now = [
            status.Component(f"com.example.{n:04}", "1.0.0", State.BROKEN, True, reason="x" * 400)
            for n in range(300)
        ]
        bench.reporter.changed(record(status=Status.FAILED, failure_cause="ä" * 200_000))
        first = await bench.next()
        parts = [first] + [await bench.next() for _ in range(first["chunkInfo"]["totalChunks"] - 1)]
    assert sum(len(part["components"]) for part in parts) == 302
    assert {part["deploymentInformation"]["statusDetails"]["failureCause"] for part in parts} == {
        "ä" * status.CAUSE_LENGTH
    }


async def test_many_deployments_end_while_one_is_reported(bench: Bench) -> None:
    """The report goes on with the newest of them, however many there were."""

    def end_many() -> None:
        bench.meanwhile = lambda: None
        for number in range(status.KEPT + 1):
            bench.reporter.changed(record(f"later {number}"))

    async with bench.linked():
        await bench.next()
        bench.meanwhile = end_many
        bench.reporter.changed(record("first"))
        told = [(await bench.next())["deploymentInformation"]["deploymentId"] for _ in range(3)]
    assert told == ["first", "later 1", "later 2"]
