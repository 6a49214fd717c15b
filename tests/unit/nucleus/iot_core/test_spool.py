"""The queue of messages to AWS IoT Core."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from verge.nucleus import errors
from verge.nucleus.iot_core import hub, spool
from verge.nucleus.store import database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[database.Database]:
    opened = database.Database(tmp_path / "db")
    yield opened
    opened.close()


def message(name: str = "t", size: int = 10, expiry: int | None = None) -> spool.Message:
    return spool.Message(
        topic_name=name, payload=b"x" * size, message_expiry_interval_seconds=expiry
    )


def waiting(queue: spool.Spool) -> list[str]:
    return [each.message.topic_name for each in queue.oldest(100)]


async def test_order_and_content_survive(db: database.Database) -> None:
    """Messages come out of the next nucleus's spool as they went into this one's."""
    properties = [spool.UserProperty("k", "v")]
    sent = spool.Message(
        topic_name="a/b",
        payload=b"\x00\xff",
        retain=True,
        user_properties=properties,
        correlation_data=b"\x01",
        response_topic="r",
        payload_format="0",
        content_type="x/y",
    )
    queue = spool.Spool(db)
    await asyncio.gather(queue.put(sent, 1), *(queue.put(message(str(n)), 0) for n in range(3)))
    again = spool.Spool(db)
    first, *others = again.oldest(10)
    assert (first.message, first.qos) == (sent, 1)
    assert [each.message.topic_name for each in others] == ["0", "1", "2"]
    assert again.used == queue.used > 0


async def test_messages_of_one_round_share_a_transaction(
    db: database.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst costs one sync of the disk, not one for each message."""
    begun = []
    transaction = db.transaction

    def begin() -> contextlib.AbstractContextManager[None]:
        begun.append(1)
        return transaction()

    monkeypatch.setattr(db, "transaction", begin)
    queue = spool.Spool(db)
    await asyncio.gather(*(queue.put(message(), 1) for _ in range(50)))
    assert len(begun) == 1


async def test_delivered_messages_go(db: database.Database) -> None:
    """What was delivered takes no room any more."""
    queue = spool.Spool(db)
    await asyncio.gather(*(queue.put(message(str(n)), 1) for n in range(3)))
    queue.remove(queue.oldest(2))
    assert waiting(queue) == ["2"]
    queue.remove(queue.oldest(2))
    assert queue.used == 0


async def test_message_that_made_way_frees_its_room_once(db: database.Database) -> None:
    """A message that made way while it was being delivered is not counted out a second time."""
    size = message().size
    queue = spool.Spool(db, limit=2 * size)
    await queue.put(message("a"), 0)
    sent = queue.oldest(1)
    await queue.put(message("b"), 1)
    await queue.put(message("c"), 1)
    queue.remove(sent)
    assert waiting(queue) == ["b", "c"]
    assert queue.used == spool.Spool(db).used == 2 * size


async def test_oldest_goes_on_behind_a_number(db: database.Database) -> None:
    """Who has some messages already gets those that came after them."""
    queue = spool.Spool(db)
    await asyncio.gather(*(queue.put(message(str(n)), 1) for n in range(4)))
    first = queue.oldest(2)
    following = queue.oldest(9, after=first[-1].number)
    assert [each.message.topic_name for each in following] == ["2", "3"]


async def test_full_spool(db: database.Database) -> None:
    """The oldest messages of QoS 0 make way; those of QoS 1 stay, and more are refused."""
    size = message().size
    queue = spool.Spool(db, limit=3 * size)
    for name, qos in (("a", 0), ("b", 1), ("c", 0), ("d", 1), ("e", 1)):
        await queue.put(message(name), qos)
    assert waiting(queue) == ["b", "d", "e"]
    assert queue.dropped == 2
    with pytest.raises(spool.SpoolFullError, match="cannot queue the message"):
        await queue.put(message("f"), 1)
    assert waiting(queue) == ["b", "d", "e"]
    assert queue.used == 3 * size


async def test_message_too_long_for_all(db: database.Database) -> None:
    """A message that can never fit drives nothing out."""
    queue = spool.Spool(db, limit=200)
    await queue.put(message("a"), 0)
    with pytest.raises(spool.SpoolFullError):
        await queue.put(message("b", 500), 1)
    assert waiting(queue) == ["a"]


async def test_expired_messages_go(db: database.Database) -> None:
    """A message is not delivered after its expiry interval."""
    now = [1000.0]
    queue = spool.Spool(db, clock=lambda: now[0])
    await asyncio.gather(queue.put(message("a", expiry=5), 1), queue.put(message("b"), 1))
    now[0] += 5
    assert waiting(queue) == ["b"]
    assert queue.used == message("b").size


async def test_disk_that_fails(db: database.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk refuses, every publisher of the round learns it and nothing is counted."""
    queue = spool.Spool(db)

    def refuse(*_: object) -> None:
        raise errors.StoreError("cannot use db: database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(db, "execute", refuse)
        outcomes = await asyncio.gather(
            *(queue.put(message(), 1) for _ in range(2)), return_exceptions=True
        )
    assert [type(outcome) for outcome in outcomes] == [errors.StoreError] * 2
    assert queue.used == 0
    await queue.put(message("after"), 1)
    assert waiting(queue) == ["after"]


async def test_publisher_that_goes(db: database.Database) -> None:
    """A publisher that was cancelled disturbs nobody in its round."""
    queue = spool.Spool(db)
    gone = asyncio.ensure_future(queue.put(message("a"), 1))
    await asyncio.sleep(0)
    gone.cancel()
    await queue.put(message("b"), 1)
    assert waiting(queue) == ["a", "b"]


async def test_hub_hands_over_what_matches(db: database.Database) -> None:
    """Each subscription gets what its filter covers; filters tell the link what to ask for."""
    one = hub.Hub(spool.Spool(db))
    got: list[tuple[str, str]] = []

    def subscribe(topic_filter: str, qos: int) -> Callable[[], None]:
        return one.subscribe(topic_filter, qos, lambda m: got.append((topic_filter, m.topic_name)))

    ends = [subscribe("a/#", 0), subscribe("a/#", 1), subscribe("b", 0)]
    assert one.filters == {"a/#": 1, "b": 0}
    for name in ("a", "a/x", "b", "c"):
        one.arrived(message(name))
    assert got == [("a/#", "a")] * 2 + [("a/#", "a/x")] * 2 + [("b", "b")]
    ends[1]()
    assert one.filters == {"a/#": 0, "b": 0}


async def test_hub_tells_of_the_link_once(db: database.Database) -> None:
    """Watchers hear of changes only, and no more after they have gone."""
    one = hub.Hub(spool.Spool(db))
    heard: list[bool] = []
    unwatch = one.watch(heard.append)
    for connected in (False, True, True, False):
        one.link_changed(connected=connected)
    unwatch()
    one.link_changed(connected=True)
    assert heard == [True, False]


async def test_properties_count(db: database.Database) -> None:
    """A message takes as much of the spool as its properties are long."""
    plain = message()
    rich = msgspec.structs.replace(
        plain,
        user_properties=[spool.UserProperty("ä", "v" * 1000)],
        correlation_data=b"c" * 100,
        response_topic="r" * 10,
        content_type="t",
    )
    assert rich.size - plain.size == 1002 + 5 + 100 + 10 + 1
