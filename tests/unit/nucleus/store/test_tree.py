"""Configuration trees with a time for every leaf."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verge.nucleus.store import tree

KEYS = st.sampled_from(["a", "b", "c", "B"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers()),
    lambda children: st.dictionaries(KEYS, children, max_size=3),
    max_leaves=8,
)


def same_case(value: Any) -> Any:
    """Return a document without keys that differ only in their case."""
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for key, child in value.items():
        kept.setdefault(key.lower(), same_case(child))
    return kept


DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4).map(same_case)


@pytest.mark.parametrize(
    ("before", "update", "after"),
    [
        pytest.param({"a": 1}, {"a": 2}, {"a": 2}, id="scalar"),
        pytest.param({"a": 1}, {"A": 2}, {"a": 2}, id="case-is-ignored"),
        pytest.param({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}, id="by-key"),
        pytest.param({"a": [1, 2]}, {"a": [3]}, {"a": [3]}, id="lists-are-replaced"),
        pytest.param({"a": 1}, {"a": None}, {"a": None}, id="null-is-a-value"),
        pytest.param({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}, id="scalar-to-container"),
        pytest.param({"a": {"b": 2}}, {"a": 1}, {"a": 1}, id="container-to-scalar"),
        pytest.param({}, {"_private": 1, "a": {"_b": 1}}, {"a": {}}, id="private-keys-stay-out"),
    ],
)
def test_merge(before: dict[str, Any], update: dict[str, Any], after: dict[str, Any]) -> None:
    """Containers merge by key, everything else is replaced whole."""
    assert tree.plain(tree.merge(tree.build(before, 5), update, 6)) == after


def test_newer_leaf_survives_an_older_write() -> None:
    """A write that is older than a leaf is dropped for that leaf alone."""
    present = tree.merge(tree.build({"a": 1, "b": 1}, 5), {"a": 2}, 10)
    assert tree.plain(tree.merge(present, {"a": 3, "b": 3}, 7)) == {"a": 2, "b": 3}


def test_container_with_a_newer_leaf_is_not_replaced() -> None:
    """A scalar does not take the place of a container in which something is newer."""
    present = tree.build({"a": {"b": 1}}, 10)
    assert tree.plain(tree.merge(present, {"a": 7}, 5)) == {"a": {"b": 1}}


def test_defaults_only_fill() -> None:
    """Defaults never change what is there, even what an earlier default brought."""
    first = tree.fill({}, {"a": 1, "c": {"d": 1}})
    second = tree.fill(first, {"a": 2, "b": 2, "c": {"d": 2, "e": 2}})
    assert tree.plain(second) == {"a": 1, "b": 2, "c": {"d": 1, "e": 2}}


@pytest.mark.parametrize(
    ("path", "after"),
    [
        pytest.param((), {}, id="everything"),
        pytest.param(("a",), {"c": 2}, id="container"),
        pytest.param(("A", "B"), {"a": {}, "c": 2}, id="leaf-in-any-case"),
        pytest.param(("x",), {"a": {"b": 1}, "c": 2}, id="absent"),
        pytest.param(("c", "x"), {"a": {"b": 1}, "c": 2}, id="below-a-leaf"),
    ],
)
def test_remove(path: tuple[str, ...], after: dict[str, Any]) -> None:
    """Removing takes a node out and leaves the rest."""
    assert tree.plain(tree.remove(tree.build({"a": {"b": 1}, "c": 2}, 5), path)) == after


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        pytest.param({"a": 1}, {"a": 1}, [], id="nothing"),
        pytest.param({"a": 1}, {"a": True}, [("a",)], id="one-is-not-true"),
        pytest.param({"a": 1}, {"a": 1.0}, [("a",)], id="one-is-not-one-point-zero"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 2}}, [("a", "b")], id="deep"),
        pytest.param({"a": 1}, {}, [("a",)], id="gone"),
        pytest.param({}, {"a": {}}, [], id="empty-container"),
    ],
)
def test_changed_leaves(
    before: dict[str, Any], after: dict[str, Any], changed: list[tuple[str, ...]]
) -> None:
    """Leaves count as changed by their JSON value; times and empty containers do not count."""
    assert tree.changed_leaves(tree.build(before, 1), tree.build(after, 2)) == changed


@given(DOCUMENTS)
def test_encoding_keeps_everything(document: dict[str, Any]) -> None:
    """A tree comes back from JSON as it was, times included."""
    built = tree.build(document, 1.5)
    assert tree.decode(json.loads(json.dumps(tree.encode(built)))) == built
    assert tree.plain(built) == document


@given(DOCUMENTS, DOCUMENTS)
def test_merge_is_idempotent(before: dict[str, Any], update: dict[str, Any]) -> None:
    """Merging the same update twice is merging it once, and then nothing more changes."""
    once = tree.merge(tree.build(before, 1), update, 2)
    assert tree.changed_leaves(once, tree.merge(once, update, 3)) == []


@given(DOCUMENTS, DOCUMENTS)
def test_every_leaf_of_an_update_is_in_force(
    before: dict[str, Any], update: dict[str, Any]
) -> None:
    """After a newer merge every leaf of the update has its value."""
    merged = tree.merge(tree.build(before, 1), update, 2)
    for path, leaf in tree.leaves(tree.build(update, 2)):
        assert tree.plain(tree.lookup(merged, path)) == leaf.value


@given(st.lists(st.text(max_size=4)))
def test_pointers_round_trip(path: list[str]) -> None:
    """Every path can be written as a JSON pointer and read back."""
    assert tree.parse_pointer(tree.format_pointer(path)) == tuple(path)


def test_text_that_is_no_pointer_is_refused() -> None:
    """A pointer begins with a slash."""
    with pytest.raises(ValueError, match="should begin with /"):
        tree.parse_pointer("topic")


WRITES = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abc"), min_size=2, max_size=2),
        st.one_of(st.integers(), st.lists(st.integers()), st.none()),
    ),
    max_size=8,
)


@given(WRITES, st.randoms())
def test_order_of_writes_does_not_matter(
    writes: list[tuple[list[str], object]], random: Random
) -> None:
    """In whatever order writes arrive, every leaf ends with the value that was written last."""
    timed = [(path, value, 10.0 + number) for number, (path, value) in enumerate(writes)]
    shuffled = random.sample(timed, len(timed))
    written: tree.Tree = {}
    for (first, second), value, timestamp in shuffled:
        written = tree.merge(written, {first: {second: value}}, timestamp)
    latest = {tuple(path): value for path, value, _ in timed}
    assert {path: leaf.value for path, leaf in tree.leaves(written)} == latest


@given(WRITES, WRITES)
def test_defaults_are_found_again(
    defaults: list[tuple[list[str], object]], writes: list[tuple[list[str], object]]
) -> None:
    """What `fill` adds is what `written` leaves out, and it changes nothing that was written."""
    given: dict[str, dict[str, object]] = {}
    for (first, second), value in defaults:
        given.setdefault(first, {})[second] = value
    mine: tree.Tree = {}
    for number, ((first, second), value) in enumerate(writes):
        mine = tree.merge(mine, {first: {second: value}}, 10.0 + number)
    filled = tree.fill(mine, given)
    assert tree.written(filled) == mine
    assert {path for path, _ in tree.leaves(filled)} == {
        *(path for path, _ in tree.leaves(mine)),
        *((first, second) for first, below in given.items() for second in below),
    }
