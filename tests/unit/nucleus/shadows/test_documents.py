"""Shadow documents."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verge.nucleus.shadows import documents

NOW = 1_700_000_000
NAMES = st.text("abc", min_size=1, max_size=2)
LEAVES = st.one_of(st.integers(0, 3), st.booleans(), st.text("xy", max_size=2))
TREES = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)
SECTIONS = st.dictionaries(NAMES, TREES, max_size=3)
WITH_NULLS = st.dictionaries(
    NAMES, st.one_of(st.none(), TREES, st.dictionaries(NAMES, st.none())), max_size=3
)


def update(**fields: Any) -> documents.Update:
    return documents.read_update(json.dumps(fields).encode())


def after(*states: dict[str, Any]) -> documents.Document:
    document = None
    for number, state in enumerate(states, 1):
        document = documents.apply(document, update(state=state), NOW + number, number)
    assert document is not None
    return document


def leaf_paths(value: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        return {each for key in value for each in leaf_paths(value[key], (*path, key))}
    return {path}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param([{"desired": {"a": 1}}], {"desired": {"a": 1}}, id="first"),
        pytest.param(
            [{"desired": {"a": {"b": 1}}}, {"desired": {"a": {"c": 2}}}],
            {"desired": {"a": {"b": 1, "c": 2}}},
            id="objects merge",
        ),
        pytest.param(
            [{"desired": {"a": [1, 2]}}, {"desired": {"a": [3]}}],
            {"desired": {"a": [3]}},
            id="lists are replaced",
        ),
        pytest.param(
            [{"desired": {"a": 1, "b": 2}}, {"desired": {"a": None}}],
            {"desired": {"b": 2}},
            id="null removes a key",
        ),
        pytest.param(
            [{"desired": {"a": 1}, "reported": {"a": 1}}, {"desired": None}],
            {"reported": {"a": 1}},
            id="null removes a section",
        ),
        pytest.param(
            [{"desired": {"a": 1}}, {"reported": {"a": 2}}],
            {"desired": {"a": 1}, "reported": {"a": 2}},
            id="sections are apart",
        ),
        pytest.param(
            [{"desired": {"a": 1}}, {"desired": {"a": {"b": None, "c": 1}}}],
            {"desired": {"a": {"c": 1}}},
            id="object replaces value",
        ),
    ],
)
def test_merge(states: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    """Objects merge, null removes, everything else replaces."""
    assert after(*states).state == expected


def test_metadata_tells_when_each_value_was_written() -> None:
    """Only what an update writes gets a new time; lists have one for each element."""
    document = after({"desired": {"a": 1, "b": {"c": [1, {"d": 2}]}}}, {"desired": {"a": 1}})
    first, second = {"timestamp": NOW + 1}, {"timestamp": NOW + 2}
    assert document.metadata == {"desired": {"a": second, "b": {"c": [first, {"d": first}]}}}


@pytest.mark.parametrize(
    ("desired", "reported", "delta"),
    [
        pytest.param({"a": 1}, {"a": 1}, {}, id="same"),
        pytest.param({"a": 1}, {"a": 1.0}, {}, id="same number"),
        pytest.param({"a": 1}, {"a": True}, {"a": 1}, id="number is no truth value"),
        pytest.param({"a": 1}, {}, {"a": 1}, id="not reported"),
        pytest.param({}, {"a": 1}, {}, id="not desired"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": 2}}, id="nested"),
        pytest.param({"a": [1, 2]}, {"a": [2, 1]}, {"a": [1, 2]}, id="whole lists"),
    ],
)
def test_difference(
    desired: dict[str, Any], reported: dict[str, Any], delta: dict[str, Any]
) -> None:
    """The difference is what is desired and reported otherwise or not at all."""
    found, times = documents.difference(after({"desired": desired, "reported": reported}))
    assert found == delta
    assert times.keys() == delta.keys()


@given(SECTIONS, SECTIONS)
def test_reporting_the_difference_settles_it(
    desired: dict[str, Any], reported: dict[str, Any]
) -> None:
    """Whoever reports what the difference says has nothing left to do."""
    document = after({"desired": desired, "reported": reported})
    delta, _ = documents.difference(document)
    settled = documents.apply(document, update(state={"reported": delta}), NOW, 2)
    assert documents.difference(settled) == ({}, {}) or not delta


@given(st.lists(WITH_NULLS, min_size=1, max_size=4))
def test_metadata_mirrors_the_state(states: list[dict[str, Any]]) -> None:
    """Whatever is written and removed, every value has its time and nothing else has one."""
    document = after(*({"desired": state} for state in states))
    times = {
        path[:-1] if path[-1:] == ("timestamp",) else path for path in leaf_paths(document.metadata)
    }
    assert times == leaf_paths(document.state)
    assert "null" not in json.dumps(document.state)


@given(st.binary(max_size=40))
def test_garbage(payload: bytes) -> None:
    """Bytes that are no update are refused as such; nothing else is ever raised."""
    with contextlib.suppress(documents.RequestError):
        assert documents.read_update(payload).state is not None


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        pytest.param(b"{}", 400, id="no state"),
        pytest.param(b'{"state": null}', 400, id="state is null"),
        pytest.param(b'{"state": {"wished": {}}}', 400, id="unknown section"),
        pytest.param(b'{"state": {"desired": 5}}', 400, id="section is no object"),
        pytest.param(b'{"state": {}, "version": "1"}', 400, id="version is text"),
        pytest.param(b'{"state": {}, "clientToken": ""}', 400, id="empty token"),
        pytest.param(b'{"state": {}, "clientToken": "%s"}' % (b"x" * 65), 400, id="long token"),
        pytest.param(
            b'{"state": {"desired": %s}}' % (b'{"a":' * 9 + b"{}" + b"}" * 9), 400, id="too deep"
        ),
        pytest.param(b"[" * 16_000, 400, id="endless nesting"),
        pytest.param(b" " * 16_385, 413, id="too long"),
    ],
)
def test_refused_updates(payload: bytes, code: int) -> None:
    """Every malformed update is refused with AWS IoT's code."""
    with pytest.raises(documents.RequestError) as refused:
        documents.read_update(payload)
    assert refused.value.code == code


def test_size_limit_counts_the_merged_state() -> None:
    """Small updates cannot make a shadow longer than its limit."""
    document = after({"desired": {"a": "x" * 5000}})
    with pytest.raises(documents.RequestError) as refused:
        documents.apply(document, update(state={"reported": {"a": "x" * 5000}}), NOW, 2)
    assert refused.value.code == 413
