"""Documents that are nested too deeply for their readers."""

from __future__ import annotations

import json

import pytest

from verge.nucleus.ipc import nesting


def nested(depth: int, bracket: str = "[") -> bytes:
    if bracket == "[":
        return b"[" * depth + b"]" * depth
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize("bracket", ["[", "{"])
@pytest.mark.parametrize("padding", [0, 100_000], ids=["short", "long"])
@pytest.mark.parametrize(("depth", "deep"), [(1, False), (190, False), (600, True), (900, True)])
def test_depth_decides(bracket: str, padding: int, depth: int, *, deep: bool) -> None:
    """Depth counts, in lists and objects, in short documents and long ones."""
    document = b'["' + b"x" * padding + b'",' + nested(depth, bracket) + b"]"
    assert nesting.is_deep(document) is deep
    assert nesting.is_deep(bytearray(document)) is deep
    if not deep:
        assert json.loads(document)


@pytest.mark.parametrize("size", [500, 100_000])
def test_many_brackets_are_not_deep(size: int) -> None:
    """A document of many flat lists, or with brackets in its text, is not deep."""
    assert not nesting.is_deep(b"[" + b"[]," * size + b"[]]")
    assert not nesting.is_deep(b'["' + b"[{" * size + b'"]')
