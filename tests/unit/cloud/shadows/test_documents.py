"""Laws of shadow documents, for any documents."""

from __future__ import annotations

from typing import Any

import hypothesis
from hypothesis import strategies

from verge.cloud.shadows import documents

KEYS = strategies.sampled_from(["a", "b", "timestamp"])
LEAVES = strategies.none() | strategies.booleans() | strategies.integers(0, 2)
VALUES = strategies.recursive(
    LEAVES,
    lambda below: (
        strategies.lists(below, max_size=2) | strategies.dictionaries(KEYS, below, max_size=3)
    ),
    max_leaves=8,
)
TREES = strategies.dictionaries(KEYS, VALUES, max_size=3)


def settled(tree: documents.Tree) -> documents.Tree:
    """Return a tree as a shadow keeps it: without nulls outside lists."""
    return documents.merge({}, tree)


def keys(tree: Any) -> Any:
    """Return the outline of a tree: what its metadata has to name."""
    return {key: keys(value) for key, value in tree.items()} if isinstance(tree, dict) else None


def stamped(metadata: Any) -> Any:
    """Return the outline of metadata."""
    if isinstance(metadata, list) or isinstance(metadata.get("timestamp"), int):
        return None
    return {key: stamped(value) for key, value in metadata.items()}


@hypothesis.given(TREES, TREES)
def test_a_change_takes_effect(old: documents.Tree, new: documents.Tree) -> None:
    """After a merge nothing of the change is missing, and a second one changes nothing."""
    merged = documents.merge(settled(old), new)
    assert documents.difference(settled(new), merged) == {} or _emptied(new)
    assert documents.merge(merged, new) == merged


def _emptied(tree: Any) -> bool:
    """Whether objects in a tree are empty without their nulls: they leave what was there."""
    if not isinstance(tree, dict):
        return False
    return not settled(tree) or any(_emptied(value) for value in tree.values())


@hypothesis.given(TREES, TREES)
def test_reporting_the_delta_settles_it(desired: documents.Tree, reported: documents.Tree) -> None:
    """A device that reports what the delta says is left without one."""
    desired, reported = settled(desired), settled(reported)
    delta = documents.difference(desired, reported)
    assert documents.difference(desired, documents.merge(reported, delta)) == {}


@hypothesis.given(strategies.lists(TREES, max_size=4))
@hypothesis.example([{"a": {"timestamp": 1}}, {"a": {"b": 2}}])
def test_metadata_names_what_there_is(changes: list[documents.Tree]) -> None:
    """Whatever was merged, metadata and state have the same outline."""
    state: documents.Tree = {}
    metadata: documents.Tree = {}
    for time, change in enumerate(changes):
        state = documents.merge(state, change)
        metadata = documents.merge_metadata(metadata, change, time)
    assert stamped(metadata) == keys(state)
