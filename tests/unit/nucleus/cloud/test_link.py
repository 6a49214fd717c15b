"""The link with connections that a test plays: what is subscribed to, told and tried again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from verge.nucleus import paths, settings
from verge.nucleus.cloud import backoff, errors, link, mqtt, pump, tls
from verge.nucleus.errors import StoreError
from verge.nucleus.iot_core import hub, spool
from verge.nucleus.store import database


class Broker:
    """Makes connections, or refuses them."""

    def __init__(self) -> None:
        self.refusals = 0
        self.connections: list[Connection] = []
        self.attempts = 0
        self.session: dict[str, int] = {}
        """What is subscribed to, over all connections."""

    def __call__(self, _address: Any, _context: Any, arrived: mqtt.Arrived) -> Connection:
        return Connection(self, arrived)

    @property
    def last(self) -> Connection:
        return self.connections[-1]


class Connection:
    """One connection and what it was asked for."""

    def __init__(self, broker: Broker, arrived: mqtt.Arrived) -> None:
        self._broker = broker
        self.arrived = arrived
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.filters: dict[str, int] = {}
        self.published: list[str] = []

    async def connect(self) -> None:
        self._broker.attempts += 1
        if self._broker.refusals:
            self._broker.refusals -= 1
            raise errors.UnreachableError("cannot connect: nobody is there")
        self._broker.connections.append(self)

    async def close(self) -> None:
        if not self.ended.done():
            self.ended.set_result("closed")

    async def subscribe(self, filters: Mapping[str, int]) -> dict[str, int]:
        self.filters.update(filters)
        self._broker.session.update(filters)
        return {}

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        for name in filters:
            self.filters.pop(name, None)
            self._broker.session.pop(name, None)

    async def publish(self, message: spool.Message, _qos: int) -> int:
        self.published.append(message.topic_name)
        if message.topic_name == "throttled" and self.published.count("throttled") < 3:
            return 0x97
        return 0x87 if message.topic_name == "forbidden" else 0


class Bench:
    """A link, the components' hub and a broker."""

    def __init__(self, db: database.Database, directory: Path) -> None:
        self.hub = hub.Hub(spool.Spool(db))
        configured = settings.Settings(
            paths.Paths(directory),
            thing_name="press-01",
            cloud=settings.CloudSettings(data_endpoint="data.example"),
        )
        waits = backoff.Backoff(0.001, 0.001)
        self.link = link.Link(configured, self.hub, lambda: 1_700_000_000.0, waits)
        self.broker = Broker()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the link for the length of a block."""
        work = asyncio.ensure_future(self.link.run())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.wait([work])

    async def until(self, reached: Callable[[], Any]) -> None:
        end = asyncio.get_running_loop().time() + 5
        while not reached():
            assert asyncio.get_running_loop().time() < end, "never"
            await asyncio.sleep(0.001)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[database.Database]:
    """Return an empty database."""
    opened = database.Database(tmp_path / "db")
    yield opened
    opened.close()


@pytest.fixture
async def bench(db: database.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench whose connections are the test's."""
    made = Bench(db, tmp_path)
    monkeypatch.setattr(mqtt, "Connection", made.broker)
    monkeypatch.setattr(tls, "device_context", lambda *_, **__: None)
    return made


async def test_components_are_told_of_the_link(bench: Bench) -> None:
    """Components hear when the link comes and goes, and the sentence about it says why."""
    heard: list[bool] = []
    bench.hub.watch(heard.append)
    bench.broker.refusals = 3
    assert bench.link.describe() == "no link to data.example: it is being made"
    async with bench.running():
        await bench.until(lambda: bench.link.connected)
        assert bench.broker.attempts == 4
        assert bench.link.describe() == "linked to data.example since 2023-11-14T22:13:20Z"
        bench.broker.refusals = 1
        bench.broker.last.ended.set_result("the connection was lost: keep alive timeout")
        await bench.until(lambda: not bench.link.connected)
        await bench.until(lambda: bench.link.connected)
    assert heard == [True, False, True, False]


async def test_subscriptions_follow_the_components(bench: Bench) -> None:
    """What is wanted is subscribed to over every link, with the highest QoS, and no longer."""
    got: list[str] = []
    leave = bench.hub.subscribe("a/+", 0, lambda message: got.append(message.topic_name))
    async with bench.running():
        await bench.until(lambda: bench.link.connected)
        assert bench.broker.last.filters == {"a/+": 0}
        bench.hub.subscribe("a/+", 1, lambda _: None)
        bench.hub.subscribe("b", 1, lambda _: None)
        await bench.until(lambda: bench.broker.last.filters == {"a/+": 1, "b": 1})
        bench.broker.last.arrived(spool.Message(topic_name="a/x", payload=b""))
        assert got == ["a/x"]
        leave()
        bench.broker.last.ended.set_result("lost")
        await bench.until(lambda: len(bench.broker.connections) == 2)
        await bench.until(lambda: bench.broker.last.filters == {"a/+": 1, "b": 1})


async def test_session_holds_nothing_that_nobody_wants(bench: Bench) -> None:
    """The broker forgets a filter that components gave up while there was no link."""
    leave = bench.hub.subscribe("a/#", 1, lambda _: None)
    bench.hub.subscribe("b", 1, lambda _: None)
    async with bench.running():
        await bench.until(lambda: bench.broker.session == {"a/#": 1, "b": 1})
        bench.broker.refusals = 1
        bench.broker.last.ended.set_result("lost")
        await bench.until(lambda: not bench.link.connected)
        leave()
        await bench.until(lambda: bench.link.connected)
        assert bench.broker.session == {"b": 1} == bench.broker.last.filters


async def test_parts_work_over_every_link(bench: Bench) -> None:
    """A part begins with each link and ends with it; its topics are subscribed to before."""
    begun: list[dict[str, int]] = []

    class Part:
        async def linked(self) -> None:
            begun.append(dict(bench.broker.last.filters))
            await asyncio.Event().wait()

    heard: list[Any] = []
    bench.link.listen("$aws/x", lambda topic, document: heard.append((topic, document)))
    bench.link.add(Part())
    async with bench.running():
        await bench.until(lambda: begun)
        bench.broker.last.arrived(spool.Message(topic_name="$aws/x", payload=b'{"a": 1}'))
        for payload in (b"{", b"[]", b"\xff", b"5", b"[" * 100_000):
            bench.broker.last.arrived(spool.Message(topic_name="$aws/x", payload=payload))
        bench.broker.last.ended.set_result("lost")
        await bench.until(lambda: len(begun) == 2)
    assert heard == [("$aws/x", {"a": 1})]
    assert begun == [{"$aws/x": 1}] * 2


async def test_defect_of_a_part_does_not_end_the_link_for_good(bench: Bench) -> None:
    """Whatever a part raises, the link is made again."""
    failures = [ValueError("a defect"), errors.UnreachableError("gone"), None]

    class Part:
        async def linked(self) -> None:
            failure = failures.pop(0) if failures else None
            if failure:
                raise failure

    bench.link.add(Part())
    async with bench.running():
        await bench.until(lambda: len(bench.broker.connections) == 2 and bench.link.connected)
        with pytest.raises(errors.RefusedError, match="forbidden"):
            await bench.link.publish("forbidden", {})
        await bench.link.publish("fine", {})


async def test_publication_outlasts_a_quota(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the broker does not take for now, it is given again until it does."""
    monkeypatch.setattr(pump, "PAUSE", 0.001)
    async with bench.running():
        await bench.until(lambda: bench.link.connected)
        await bench.link.publish("throttled", {})
        assert bench.broker.last.published == ["throttled"] * 3


async def test_full_disk_does_not_end_the_link(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that the disk fails begins again later, over the same link."""
    monkeypatch.setattr(link, "STORE_PAUSE", 0.001)
    full = StoreError("cannot use db: database or disk is full")
    failures = [full, ExceptionGroup("", [full, errors.UnreachableError("gone")]), None]

    class Part:
        async def linked(self) -> None:
            if failure := failures.pop(0):
                raise failure

    bench.link.add(Part())
    async with bench.running():
        await bench.until(lambda: not failures or len(bench.broker.connections) > 1)
        assert len(bench.broker.connections) == 1
        assert bench.link.connected


async def test_without_a_link_nothing_is_published(bench: Bench) -> None:
    """A part that publishes too late is told so."""
    with pytest.raises(errors.UnreachableError, match="there is no link"):
        await bench.link.publish("a", {})
