"""The configuration store: durable writes and subscriptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

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


def test_written_value_is_on_disk(
    store: configuration.ConfigurationStore, db: database.Database
) -> None:
    """What a component wrote is in the database when the call returns."""
    store.merge(PRESS, ["lens"], {"zoom": 3, "tilt": 1}, 200.0)
    stored = state.StateStore(db).load().configuration[PRESS]
    assert tree.plain(stored) == {"rate": 1, "lens": {"zoom": 3, "tilt": 1}}


def test_stale_write_changes_nothing(store: configuration.ConfigurationStore) -> None:
    """If one value is newer than the write, none is written."""
    store.merge(PRESS, [], {"rate": 5}, 300.0)
    with pytest.raises(host.StaleWriteError, match="newer"):
        store.merge(PRESS, [], {"lens": {"zoom": 9}, "rate": 6}, 200.0)
    assert store.get(PRESS, []) == {"rate": 5, "lens": {"zoom": 2}}


def test_path_to_a_leaf_replaces_it(store: configuration.ConfigurationStore) -> None:
    """A path that names a leaf makes it a container; missing containers are created."""
    store.merge(PRESS, ["rate"], {"fast": 1}, 200.0)
    store.merge(PRESS, ["new", "deep"], {"a": 1}, 200.0)
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
def test_subscribers_are_told_of_changed_leaves(
    store: configuration.ConfigurationStore, path: list[str], told: list[tuple[str, ...]]
) -> None:
    """A subscriber hears of each changed leaf below its path, and of nothing unchanged."""
    heard: list[tuple[str, ...]] = []

    def changed(component: str, leaf: Sequence[str]) -> None:
        assert component == PRESS
        heard.append(tuple(leaf))

    unsubscribe = store.subscribe(PRESS, path, changed)
    store.merge(PRESS, [], {"rate": 2, "lens": {"zoom": 3}}, 200.0)
    store.merge(PRESS, [], {"rate": 2}, 201.0)
    unsubscribe()
    store.merge(PRESS, [], {"rate": 3}, 202.0)
    assert sorted(heard) == told


def test_unknown_node_is_refused(store: configuration.ConfigurationStore) -> None:
    """Neither values nor subscriptions exist for what is not there."""
    with pytest.raises(KeyError):
        store.get(PRESS, ["nothing"])
    with pytest.raises(KeyError):
        store.subscribe(PRESS, ["nothing"], lambda *_: None)
    with pytest.raises(KeyError):
        store.get("com.example.Ghost", [])
