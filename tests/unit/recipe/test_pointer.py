"""JSON pointers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verge.recipe import pointer

# The examples of RFC 6901, section 5.
DOCUMENT: dict[str, Any] = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_the_examples_of_the_rfc_resolve(text: str, value: object) -> None:
    """Each pointer of RFC 6901 leads to the value the document gives for it."""
    assert pointer.resolve(DOCUMENT, text) == value


@pytest.mark.parametrize(
    "text", ["/bar", "/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/foo/x", "/foo/0/b", "/m~n", "foo"]
)
def test_what_leads_nowhere_is_refused(text: str) -> None:
    """A pointer that is wrong or leads nowhere raises an error that is also a LookupError."""
    with pytest.raises(pointer.PointerError, match=r"JSON pointer|cannot find") as caught:
        pointer.resolve(DOCUMENT, text)
    assert isinstance(caught.value, LookupError)


def test_tilde_one_is_unescaped_before_tilde_zero() -> None:
    """`~01` stands for `~1`, not for a slash."""
    assert pointer.parse("/~01") == ("~1",)


@given(st.lists(st.text()))
def test_escaped_tokens_come_back(tokens: list[str]) -> None:
    """Any keys, escaped into a pointer, are read back as they were."""
    text = "".join(f"/{token.replace('~', '~0').replace('/', '~1')}" for token in tokens)
    assert pointer.parse(text) == tuple(tokens)
