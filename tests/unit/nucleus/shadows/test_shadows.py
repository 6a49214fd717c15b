"""The shadows of a device."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from verge.nucleus.shadows import documents, shadows
from verge.nucleus.store import database

THING = "press-01"
PREFIX = f"$aws/things/{THING}/shadow"
NOW = 1_700_000_000

Told = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[database.Database]:
    opened = database.Database(tmp_path / "db")
    yield opened
    opened.close()


@pytest.fixture
def store(db: database.Database) -> shadows.Shadows:
    return shadows.Shadows(db, lambda: NOW + 0.9)


@pytest.fixture
def told(store: shadows.Shadows) -> Told:
    messages: Told = []
    store.publish = lambda topic, payload: messages.append((topic, json.loads(payload)))
    return messages


async def put(store: shadows.Shadows, state: Any, name: str = "", **fields: Any) -> dict[str, Any]:
    payload = json.dumps({"state": state, **fields}).encode()
    return dict(json.loads(await store.update(THING, name, payload)))


async def get(store: shadows.Shadows) -> bytes:
    return store.get(THING, "")


async def test_get_shows_the_difference(store: shadows.Shadows) -> None:
    """A shadow comes with state, difference, metadata, version and time."""
    await put(store, {"desired": {"a": 1, "b": 2}, "reported": {"a": 1}})
    stamp = {"timestamp": NOW}
    assert json.loads(store.get(THING, "")) == {
        "state": {"desired": {"a": 1, "b": 2}, "reported": {"a": 1}, "delta": {"b": 2}},
        "metadata": {"desired": {"a": stamp, "b": stamp}, "reported": {"a": stamp}},
        "version": 1,
        "timestamp": NOW,
    }


async def test_update_tells_the_local_topics(store: shadows.Shadows, told: Told) -> None:
    """An update tells what was accepted, what differs, and the documents before and after."""
    await put(store, {"reported": {"a": 1}}, name="line")
    told.clear()
    await put(store, {"desired": {"a": 2}}, name="line", clientToken="t")
    stamp = {"timestamp": NOW}
    common = {"timestamp": NOW, "clientToken": "t"}
    assert told == [
        (
            f"{PREFIX}/name/line/update/accepted",
            {
                "state": {"desired": {"a": 2}},
                "metadata": {"desired": {"a": stamp}},
                "version": 2,
                **common,
            },
        ),
        (
            f"{PREFIX}/name/line/update/delta",
            {"state": {"a": 2}, "metadata": {"a": stamp}, "version": 2, **common},
        ),
        (
            f"{PREFIX}/name/line/update/documents",
            {
                "previous": {
                    "state": {"reported": {"a": 1}},
                    "metadata": {"reported": {"a": stamp}},
                    "version": 1,
                },
                "current": {
                    "state": {"reported": {"a": 1}, "desired": {"a": 2}},
                    "metadata": {"reported": {"a": stamp}, "desired": {"a": stamp}},
                    "version": 2,
                },
                **common,
            },
        ),
    ]


async def test_get_and_delete_tell_the_local_topics(store: shadows.Shadows, told: Told) -> None:
    """Each request tells what it answered."""
    await put(store, {"desired": {}})
    told.clear()
    got, deleted = store.get(THING, ""), await store.delete(THING, "")
    assert told == [
        (f"{PREFIX}/get/accepted", json.loads(got)),
        (f"{PREFIX}/delete/accepted", json.loads(deleted)),
    ]
    assert json.loads(deleted) == {"version": 1, "timestamp": NOW}


@pytest.mark.parametrize(
    ("act", "topic", "code", "token"),
    [
        pytest.param(get, "get", 404, None, id="get"),
        pytest.param(lambda store: store.delete(THING, ""), "delete", 404, None, id="delete"),
        pytest.param(
            lambda store: put(store, {}, version=3, clientToken="t"),
            "update",
            409,
            "t",
            id="update",
        ),
    ],
)
async def test_rejections_tell_the_local_topics(
    store: shadows.Shadows,
    told: Told,
    act: Callable[[shadows.Shadows], Awaitable[Any]],
    topic: str,
    code: int,
    token: str | None,
) -> None:
    """A refused request tells its code and its reason."""
    with pytest.raises(documents.RequestError) as refused:
        await act(store)
    ((where, message),) = told
    assert where == f"{PREFIX}/{topic}/rejected"
    assert (message["code"], message["message"]) == (code, str(refused.value))
    assert message.get("clientToken") == token


async def test_version_must_be_the_present_one(store: shadows.Shadows) -> None:
    """An update of another version than the present one is a conflict."""
    assert (await put(store, {"desired": {"a": 1}}, version=0))["version"] == 1
    assert (await put(store, {"desired": {"a": 2}}, version=1))["version"] == 2
    for version in (0, 1, 3):
        with pytest.raises(documents.RequestError) as refused:
            await put(store, {"desired": {"a": 3}}, version=version)
        assert refused.value.code == 409
    assert json.loads(store.get(THING, ""))["state"]["desired"] == {"a": 2}


async def test_versions_go_on_after_a_deletion(store: shadows.Shadows) -> None:
    """A shadow that is made again is not taken for its predecessor."""
    await put(store, {"desired": {"a": 1}})
    await store.delete(THING, "")
    with pytest.raises(documents.RequestError):
        store.get(THING, "")
    assert (await put(store, {"desired": {"b": 1}}))["version"] == 2


async def test_survives(db: database.Database) -> None:
    """What was accepted is there for the next nucleus."""
    await put(shadows.Shadows(db), {"desired": {"a": 1}})
    assert json.loads(shadows.Shadows(db).get(THING, ""))["state"]["desired"] == {"a": 1}


async def test_names_in_pages(store: shadows.Shadows) -> None:
    """Named shadows come in order; the classic one and deleted ones do not."""
    for name in ("c", "", "a", "b", "d"):
        await put(store, {"desired": {"x": 1}}, name=name)
    await store.delete(THING, "b")
    assert store.names(THING, "", 2) == ["a", "c"]
    assert store.names(THING, "c", 2) == ["d"]
    assert store.names("other", "", 2) == []


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        pytest.param("", "", id="no thing"),
        pytest.param("a/b", "", id="slash"),
        pytest.param("a" * 129, "", id="long thing"),
        pytest.param("a", "b/c", id="slash in the shadow"),
        pytest.param("a", "b" * 65, id="long shadow"),
        pytest.param("a", "+", id="wildcard"),
    ],
)
async def test_impossible_names(store: shadows.Shadows, told: Told, thing: str, name: str) -> None:
    """Names that AWS IoT refuses are refused here, and no topic is made of them."""
    with pytest.raises(documents.RequestError) as refused:
        store.get(thing, name)
    assert refused.value.code == 400
    with pytest.raises(documents.RequestError) as refused:
        await store.delete(thing, name)
    assert refused.value.code == 400
    assert told == []


async def test_total_size(store: shadows.Shadows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A further shadow is refused when all together take too much; old ones still change."""
    monkeypatch.setattr(shadows, "TOTAL_BYTES", 500)
    await put(store, {"desired": {"a": "x" * 400}})
    with pytest.raises(documents.RequestError) as refused:
        await put(store, {"desired": {"a": "x" * 100}}, name="more")
    assert refused.value.code == 413
    await put(store, {"desired": {"a": "y"}})
    await put(store, {"desired": {"a": "x" * 100}}, name="more")
