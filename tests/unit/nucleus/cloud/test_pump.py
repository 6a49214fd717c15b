"""The way from the spool to the broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from verge.nucleus.cloud import errors, pump
from verge.nucleus.iot_core import spool
from verge.nucleus.store import database


class Broker:
    """A connection that a test cuts and lets refuse."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.acknowledged: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.dead = False
        self.codes: dict[str, list[int]] = {}

    async def publish(self, message: spool.Message, qos: int) -> int:
        if self.dead:
            raise errors.UnreachableError("cannot publish: gone")
        self.got.append(message.topic_name)
        await self.gate.wait()
        if self.dead:
            raise errors.UnreachableError("cannot publish: gone")
        codes = self.codes.get(message.topic_name)
        code = codes.pop(0) if codes else 0
        if code < pump.FAILURE:
            self.acknowledged.append(message.topic_name)
        return code


class Clock:
    """Hours pass at once."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[database.Database]:
    """Return an empty database."""
    opened = database.Database(tmp_path / "db")
    yield opened
    opened.close()


@pytest.fixture
def messages(db: database.Database, clock: Clock) -> spool.Spool:
    """Return an empty spool."""
    return spool.Spool(db, clock=clock)


async def put(messages: spool.Spool, *names: str, qos: int = 1, **members: Any) -> None:
    for name in names:
        await messages.put(spool.Message(topic_name=name, payload=b"x", **members), qos)


@contextlib.asynccontextmanager
async def pumping(one: pump.Pump, broker: Broker) -> AsyncIterator[asyncio.Future[None]]:
    """Send over a connection for the length of a block."""
    work = asyncio.ensure_future(one.run(broker))
    try:
        yield work
    finally:
        broker.dead = True
        work.cancel()
        await asyncio.wait([work])


async def settle() -> None:
    """Let everything happen that waits for no time."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until(reached: Callable[[], bool]) -> None:
    end = asyncio.get_running_loop().time() + 5
    while not reached():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.005)


async def test_hours_without_a_link_lose_nothing(messages: spool.Spool, clock: Clock) -> None:
    """What waited for hours comes out in its order, and only what has expired is gone."""
    one, broker = pump.Pump(messages), Broker()
    names = []
    for hour in range(24):
        clock.now += 3600
        names += [f"{hour}/{n}" for n in range(10)]
        await put(messages, *names[-10:])
        await put(messages, f"{hour}/short", message_expiry_interval_seconds=600)
    async with pumping(one, broker):
        await until(lambda: messages.used == 0)
    assert [name for name in broker.got if "short" not in name] == names
    assert [name for name in broker.got if "short" in name] == ["23/short"]


async def test_only_acknowledged_messages_go(messages: spool.Spool) -> None:
    """What was sent and not acknowledged is sent again over the next connection, in order."""
    one, first = pump.Pump(messages), Broker()
    await put(messages, "a", "b", "c")
    first.gate.clear()
    async with pumping(one, first):
        await until(lambda: first.got == ["a", "b", "c"])
        first.dead = True
        first.gate.set()
    assert [each.message.topic_name for each in messages.oldest(9)] == ["a", "b", "c"]
    second = Broker()
    async with pumping(one, second):
        await until(lambda: messages.used == 0)
    assert second.acknowledged == ["a", "b", "c"]


async def test_window_bounds_what_is_on_its_way(messages: spool.Spool) -> None:
    """No more than a window is sent before something comes back."""
    one, broker = pump.Pump(messages), Broker()
    names = [str(n) for n in range(3 * pump.WINDOW)]
    await put(messages, *names)
    broker.gate.clear()
    async with pumping(one, broker):
        await until(lambda: len(broker.got) == pump.WINDOW)
        await asyncio.sleep(0)
        assert len(broker.got) == pump.WINDOW
        broker.gate.set()
        await until(lambda: messages.used == 0)
    assert broker.acknowledged == names


async def test_new_messages_are_sent_at_once(messages: spool.Spool) -> None:
    """A message that comes while the link is up does not wait."""
    one, broker = pump.Pump(messages), Broker()
    async with pumping(one, broker):
        await put(messages, "a", qos=0)
        await until(lambda: broker.acknowledged == ["a"])
        await until(lambda: messages.used == 0)


async def test_refused_message_holds_up_nobody(messages: spool.Spool) -> None:
    """A message that the broker will never take goes with a line in the log, others follow."""
    one, broker = pump.Pump(messages), Broker()
    broker.codes["forbidden"] = [0x87]
    await put(messages, "forbidden", "fine")
    async with pumping(one, broker):
        await until(lambda: messages.used == 0)
    assert broker.acknowledged == ["fine"]


async def test_message_that_would_end_the_link_is_not_sent(messages: spool.Spool) -> None:
    """What no broker takes, queued before that was checked, goes with a line in the log."""
    one, broker = pump.Pump(messages), Broker()
    await put(messages, "a", content_type="x" * 70_000)
    await put(messages, "b", user_properties=[spool.UserProperty("k", "\0")])
    await put(messages, "tab\t", "fine")
    async with pumping(one, broker):
        await until(lambda: messages.used == 0)
    assert broker.got == ["fine"]


async def test_message_that_is_not_taken_for_now_is_sent_again(
    messages: spool.Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota that is used up passes."""
    monkeypatch.setattr(pump, "PAUSE", 0.01)
    one, broker = pump.Pump(messages), Broker()
    broker.codes["a"] = [0x97, 0x97]
    await put(messages, "a")
    async with pumping(one, broker):
        await until(lambda: messages.used == 0)
    assert broker.acknowledged == ["a"]


async def test_disk_that_fails_ends_nothing_and_repeats_nothing(
    db: database.Database, messages: spool.Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was delivered and cannot be forgotten is not sent again, over no connection."""
    monkeypatch.setattr(pump, "STORE_PAUSE", 0.01)
    one, first, second = pump.Pump(messages), Broker(), Broker()
    await put(messages, "a", "b")
    db.execute("PRAGMA query_only=ON")
    async with pumping(one, first) as work:
        await until(lambda: first.acknowledged == ["a", "b"])
        await settle()
        assert not work.done()
    async with pumping(one, second):
        await settle()
        db.execute("PRAGMA query_only=OFF")
        await until(lambda: messages.used == 0)
        await put(messages, "c")
        await until(lambda: messages.used == 0)
    assert second.got == ["c"]
