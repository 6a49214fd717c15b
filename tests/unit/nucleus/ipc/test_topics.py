from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verge.nucleus.ipc import topics

LEVEL = st.sampled_from(["a", "b", "", "$c"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=5).map("/".join)
FILTER = st.lists(st.one_of(LEVEL, st.sampled_from(["+", "#", "a+"])), min_size=1, max_size=5).map(
    "/".join
)


def _matches(topic_filter: str, topic: str) -> bool:
    """Say it again, one filter at a time, level by level."""

    def below(wanted: list[str], there: list[str]) -> bool:
        if wanted == ["#"]:
            return len(there) > 0
        if not wanted or not there:
            return wanted == there
        if wanted[0] == "#":
            return False
        return wanted[0] in ("+", there[0]) and below(wanted[1:], there[1:])

    return below(topics.levels(topic_filter), topics.levels(topic))


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", "a/b/", True),
        ("a/b/", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("+/b", "a/b", True),
        ("a/#", "a/b/c", True),
        ("a/#", "a", False),
        ("a/#", "a/", False),
        ("#", "a", True),
        ("#", "$aws/things", True),
        ("#", "/", False),
        ("/a", "/a", True),
        ("/a", "a", False),
        ("a/#/b", "a/x/b", False),
        ("a+/b", "aa/b", False),
        ("A", "a", False),
    ],
)
def test_match(topic_filter: str, topic: str, expected: bool) -> None:
    """Filters match as contract 4.8 says."""
    tree: topics.FilterTree[int] = topics.FilterTree()
    tree.add(topic_filter, 1)
    assert tree.match(topic) == ((1,) if expected else ())
    assert _matches(topic_filter, topic) is expected


@given(st.lists(FILTER, max_size=12), st.lists(TOPIC, min_size=1, max_size=6), st.data())
def test_tree_agrees_with_one_by_one(
    filters: list[str], published: list[str], data: st.DataObject
) -> None:
    """A tree from which some filters were removed finds each match of the others, once."""
    tree: topics.FilterTree[int] = topics.FilterTree()
    for number, topic_filter in enumerate(filters):
        tree.add(topic_filter, number)
        tree.match(published[0])  # so that what is remembered must be forgotten
    kept = dict(enumerate(filters))
    for number in data.draw(st.sets(st.sampled_from(sorted(kept)))) if kept else ():
        tree.remove(kept.pop(number), number)
    for topic in published * 2:
        expected = [number for number, wanted in kept.items() if _matches(wanted, topic)]
        assert sorted(tree.match(topic)) == expected
    for number, topic_filter in kept.items():
        tree.remove(topic_filter, number)
    assert tree.nodes() == 1


@given(FILTER)
def test_wildcard_filters(topic_filter: str) -> None:
    """A filter is a wildcard if a level is `+` or the last one is `#`."""
    parts = topics.levels(topic_filter)
    assert topics.is_wildcard(topic_filter) is ("+" in parts or (parts or [""])[-1] == "#")


def test_memory_of_topics_is_bounded() -> None:
    """Many topics are matched, and long ones, without being remembered for ever."""
    tree: topics.FilterTree[int] = topics.FilterTree()
    tree.add("#", 1)
    for number in range(5000):
        assert tree.match(f"topic/{number}") == (1,)
    assert tree.match("x" * 10_000) == (1,)
    assert len(tree._remembered) <= 1024
    assert all(len(topic) <= 256 for topic in tree._remembered)
