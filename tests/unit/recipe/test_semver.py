"""Versions: what is one and which is the newer."""

from __future__ import annotations

import contextlib
import itertools

import nodesemver
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verge.recipe import errors, semver

ASCENDING = [
    "0.0.0",
    "0.0.1",
    "0.1.0",
    "1.0.0-0",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0--",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.0+1",
    "1.0.0+2",
    "1.0.0+10",
    "1.0.0+a",
    "1.0.1",
    "1.2.0",
    "1.10.0",
    "2.0.0",
    "10.0.0",
    "999999.999999.999999",
]
NO_VERSIONS = [
    "",
    "1",
    "1.0",
    "1.0.0.0",
    "v1.0.0",
    "=1.0.0",
    " 1.0.0",
    "1.0.0\n",
    "01.0.0",
    "1.00.0",
    "1.0.0-",
    "1.0.0-01",
    "1.0.0-a..b",
    "1.0.0+",
    "1.0.0-é",
    "1.0.0_1",
    "\uff11.0.0",
    "-1.0.0",
    "NEXT_PATCH",
    "1.0.0-" + "a" * 60,
]
identifiers = st.one_of(
    st.integers(0, 99).map(str), st.from_regex(r"[a-c-][a-c0-9-]{0,2}", fullmatch=True)
)
version_texts = st.builds(
    lambda core, pre: ".".join(map(str, core)) + (f"-{'.'.join(pre)}" if pre else ""),
    st.tuples(*[st.integers(0, 3)] * 3),
    st.lists(identifiers, max_size=3),
)


@pytest.mark.parametrize(("lower", "higher"), list(itertools.pairwise(ASCENDING)))
def test_versions_are_ordered_as_semver_says(lower: str, higher: str) -> None:
    """A version is lower than its successor in the list of semver 2.0, whichever side asks."""
    assert semver.Version.parse(lower) < semver.Version.parse(higher)
    assert semver.Version.parse(higher) > semver.Version.parse(lower)


@pytest.mark.parametrize("text", NO_VERSIONS)
def test_what_is_no_version_is_refused(text: str) -> None:
    """A text that is not exactly a semantic version is refused with the text in the message."""
    with pytest.raises(errors.RequirementError, match="cannot read version") as caught:
        semver.Version.parse(text)
    assert caught.value.text == text


def test_a_part_may_not_pass_the_limit() -> None:
    """A part above 999999 is refused by that name (contract 1.2)."""
    with pytest.raises(errors.RequirementError, match="a part may be 999999 at most"):
        semver.Version.parse("1.1000000.0")


def test_build_metadata_makes_another_version_of_the_same_precedence() -> None:
    """Versions that differ in build metadata are different but rank alike for ranges."""
    one, two = semver.Version.parse("1.0.0+a"), semver.Version.parse("1.0.0+b")
    assert one != two
    assert one.precedence == two.precedence
    assert str(one) == "1.0.0+a"


@pytest.mark.parametrize(
    ("text", "after"), [("1.0.0", "1.0.1"), ("1.2.9", "1.2.10"), ("1.0.0-rc.1+b", "1.0.1")]
)
def test_next_patch_is_a_release(text: str, after: str) -> None:
    """The next patch has a patch number one higher and no suffix."""
    assert str(semver.Version.parse(text).next_patch) == after


@given(version_texts, version_texts)
def test_order_agrees_with_node_semver(left: str, right: str) -> None:
    """Any two versions without build metadata compare as node-semver compares them."""
    one, two = semver.Version.parse(left), semver.Version.parse(right)
    ours = (one > two) - (one < two)
    theirs = nodesemver.compare(left, right, False)
    assert ours == theirs


@given(st.text(max_size=80))
def test_garbage_is_refused_or_comes_back_as_it_was(text: str) -> None:
    """A text is either refused with our error or is a version that prints as it was written."""
    with contextlib.suppress(errors.RequirementError):
        assert str(semver.Version.parse(text)) == text
