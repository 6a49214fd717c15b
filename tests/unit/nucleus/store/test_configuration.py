"""The configuration store: durable writes and subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from verge.nucleus import errors
from verge.nucleus.ipc import host
from verge.nucleus.store import configuration, database, state, tree

PRESS = "com.example.Press"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[database.Database]:
    opened = database.Database(tmp_path / "nucleus.db")
    yield opened
    opened.close()


@pytest.fixture
def store(db: database.Database) -> configuration.ConfigurationStore:
    trees = {PRESS: tree.build({"rate": 1, "lens": {"zoom": 2}}, 100.0)}
    return configuration.ConfigurationStore(state.StateStore(db), trees)


async def test_written_value_is_on_disk(
    store: configuration.ConfigurationStore, db: database.Database
) -> None:
    """What a component wrote is in the database when the call returns."""
    await store.merge(PRESS, ["lens"], {"zoom": 3, "tilt": 1}, 200.0)
    stored = state.StateStore(db).load().configuration[PRESS]
    assert tree.plain(stored) == {"rate": 1, "lens": {"zoom": 3, "tilt": 1}}


async def test_stale_write_changes_nothing(store: configuration.ConfigurationStore) -> None:
    """If one value is newer than the write, none is written."""
    await store.merge(PRESS, [], {"rate": 5}, 300.0)
    with pytest.raises(host.StaleWriteError, match="newer"):
        await store.merge(PRESS, [], {"lens": {"zoom": 9}, "rate": 6}, 200.0)
    assert store.get(PRESS, []) == {"rate": 5, "lens": {"zoom": 2}}


async def test_writes_at_once_see_one_another(store: configuration.ConfigurationStore) -> None:
    """Writers that share a commit lose nothing of one another's."""
    writes = [store.merge(PRESS, ["new"], {str(n): n}, 200.0 + n) for n in range(20)]
    await asyncio.gather(*writes)
    assert store.get(PRESS, ["new"]) == {str(n): n for n in range(20)}


async def test_failed_commit_leaves_the_former_values(
    store: configuration.ConfigurationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that could not be stored is not shown, and nobody is told of it."""
    heard: list[Sequence[str]] = []
    store.subscribe(PRESS, [], lambda _, leaf: heard.append(leaf))
    real = database.Database.execute

    def full(self: database.Database, statement: str, *values: object) -> None:
        if "INSERT" in statement and b'"second"' in values[-1]:  # type: ignore[operator]
            raise errors.StoreError("the disk is full")
        real(self, statement, *values)

    monkeypatch.setattr(database.Database, "execute", full)
    outcomes = await asyncio.gather(
        store.merge(PRESS, [], {"rate": 7}, 200.0),
        store.merge(PRESS, [], {"second": 1}, 200.0),
        return_exceptions=True,
    )
    assert [type(each) for each in outcomes] == [errors.StoreError] * 2
    assert store.get(PRESS, []) == {"rate": 1, "lens": {"zoom": 2}}
    assert heard == []


async def test_path_to_a_leaf_replaces_it(store: configuration.ConfigurationStore) -> None:
    """A path that names a leaf makes it a container; missing containers are created."""
    await store.merge(PRESS, ["rate"], {"fast": 1}, 200.0)
    await store.merge(PRESS, ["new", "deep"], {"a": 1}, 200.0)
    assert store.get(PRESS, ["rate"]) == {"fast": 1}
    assert store.get(PRESS, ["NEW"]) == {"deep": {"a": 1}}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        pytest.param([], [("lens", "zoom"), ("rate",)], id="everything"),
        pytest.param(["LENS"], [("lens", "zoom")], id="container-in-any-case"),
        pytest.param(["rate"], [("rate",)], id="leaf"),
    ],
)
async def test_subscribers_are_told_of_changed_leaves(
    store: configuration.ConfigurationStore, path: list[str], told: list[tuple[str, ...]]
) -> None:
    """A subscriber hears of each changed leaf below its path, and of nothing unchanged."""
    heard: list[tuple[str, ...]] = []

    def changed(component: str, leaf: Sequence[str]) -> None:
        assert component == PRESS
        heard.append(tuple(leaf))

    unsubscribe = store.subscribe(PRESS, path, changed)
    await store.merge(PRESS, [], {"rate": 2, "lens": {"zoom": 3}}, 200.0)
    await store.merge(PRESS, [], {"rate": 2}, 201.0)
    unsubscribe()
    await store.merge(PRESS, [], {"rate": 3}, 202.0)
    assert sorted(heard) == told


def test_unknown_node_is_refused(store: configuration.ConfigurationStore) -> None:
    """Neither values nor subscriptions exist for what is not there."""
    with pytest.raises(KeyError):
        store.get(PRESS, ["nothing"])
    with pytest.raises(KeyError):
        store.subscribe(PRESS, ["nothing"], lambda *_: None)
    with pytest.raises(KeyError):
        store.get("com.example.Ghost", [])
