"""The order of versions in the database."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from verge.cloud.greengrass import rank
from verge.recipe import versions

PARTS = st.integers(0, 999_999) | st.integers(0, 3)
IDENTIFIERS = st.one_of(
    st.integers(0, 10**9).map(str),
    st.from_regex(r"[0-9]{0,2}[A-Za-z-][0-9A-Za-z-]{0,3}", fullmatch=True),
)
SUFFIXES = st.lists(IDENTIFIERS, max_size=3).map(".".join)


@st.composite
def version(draw: st.DrawFn) -> versions.Version:
    """A version with or without suffixes."""
    text = ".".join(str(draw(PARTS)) for _ in range(3))
    before, build = draw(SUFFIXES), draw(SUFFIXES)
    text += f"-{before}" if before else ""
    return versions.Version.parse(text + (f"+{build}" if build else ""))


@given(version(), version())
def test_order(first: versions.Version, second: versions.Version) -> None:
    """Ranks compare as versions do, and only equal versions have equal ranks."""
    left, right = rank.of(first), rank.of(second)
    assert (left < right) == (first < second)
    assert (left == right) == ((first.precedence, first.build) == (second.precedence, second.build))
