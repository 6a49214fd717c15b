"""Version ranges: what they allow, how they are joined and which Lite understands."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import nodesemver
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from verge.recipe import errors, versions

CASES = Path(__file__).parents[2] / "cases" / "recipe"
TABLE = yaml.safe_load((CASES / "ranges.yml").read_text(encoding="utf-8"))
GRID = ["{}.{}.{}".format(*core) for core in itertools.product(range(4), repeat=3)]


def cases(key: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in TABLE if key in case]


@pytest.mark.parametrize("case", cases("allows"))
def test_ranges_allow_what_the_contract_says(case: dict[str, Any]) -> None:
    """A range allows and refuses the versions in the table."""
    requirement = versions.Requirement.parse(case["range"])
    verdicts = {text: requirement.allows(text) for text in case["allows"] + case["refuses"]}
    assert [text for text, allowed in verdicts.items() if allowed] == case["allows"]


@pytest.mark.parametrize("case", cases("error"))
def test_what_is_no_range_is_refused(case: dict[str, Any]) -> None:
    """A text outside the grammar is refused with the reason and the text itself."""
    with pytest.raises(errors.RequirementError, match=case["error"]) as caught:
        versions.Requirement.parse(case["range"])
    assert caught.value.text == case["range"]
    assert str(caught.value).startswith("cannot read version range ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(" * 30 + "1.0.0" + ")" * 30, "brackets are nested deeper than 16"),
        ("1.0.0 || " * 200 + "1.0.0", "longer than 1024 characters"),
    ],
    ids=["brackets", "length"],
)
def test_ranges_are_bounded(text: str, reason: str) -> None:
    """A range that would take unbounded work is refused before it does."""
    with pytest.raises(errors.RequirementError, match=reason):
        versions.Requirement.parse(text)


def test_or_binds_weakest_when_requirements_are_joined() -> None:
    """`A || B` joined with `C` means A, or B and C (contract 1.3)."""
    joined = versions.join(["1.0.0 || >=2.0.0", "<3.0.0"])
    assert joined.allows("1.0.0")
    assert joined.allows("2.5.0")
    assert not joined.allows("3.0.0")
    # The first requester's bound does not reach the alternative of the second.
    assert versions.join([">=2.0.0", "1.0.0 || <3.0.0"]).allows("1.5.0")


def test_joining_nothing_allows_everything() -> None:
    """No requirement, or blank ones, allow every version."""
    assert versions.join([]).allows("0.0.0")
    assert versions.join(["", " "]).allows("7.0.0")
    assert str(versions.join(["", "1.0.0"])) == "1.0.0"


def test_joining_names_the_requirement_that_is_wrong() -> None:
    """Joining refuses a bad requirement by its own text, not by the joined one."""
    with pytest.raises(errors.RequirementError) as caught:
        versions.join([">=1.0.0", "oldest"])
    assert caught.value.text == "oldest"


def test_highest_is_the_newest_that_is_allowed() -> None:
    """The highest version is found by precedence, not by text, and may be missing."""
    known = ["1.9.0", "1.10.0", "2.0.0", "1.11.0-rc.1"]
    assert str(versions.highest(known, ">=1.0.0 <2.0.0")) == "1.10.0"
    assert str(versions.highest(known, "*")) == "2.0.0"
    assert versions.highest(known, ">2.0.0") is None
    assert versions.highest([], "*") is None


@pytest.mark.parametrize(
    ("requirement", "portable"),
    [
        ("1.0.0", True),
        ("=1.0.0", True),
        (">=1.0.0 <2.0.0", True),
        (" >=1.0.0 ", True),
        (">1.0.0  <=1.5.0-rc.1", True),
        ("1.0.0 <2.0.0", False),
        (">= 1.0.0", False),
        ("", False),
        ("*", False),
        ("1.0", False),
        (">=1.0", False),
        ("^1.0.0", False),
        ("~1.0.0", False),
        ("1.0.0 - 2.0.0", False),
        ("1.0.0 || 2.0.0", False),
        ("(1.0.0)", False),
    ],
)
def test_lite_understands_plain_comparators(requirement: str, portable: bool) -> None:
    """Only an exact version or comparators separated by spaces work on Lite (contract 1.3)."""
    versions.Requirement.parse(requirement)
    assert versions.is_portable(requirement) is portable


# A model of ranges on releases: each term is a text and what it means for three numbers.

Core = tuple[int, int, int]
numbers = st.integers(0, 3)
wildcards = st.sampled_from(["", ".x", ".*", ".X"])


def part_of(parts: list[int], wildcard: str) -> str:
    return ".".join(map(str, parts)) + (wildcard if len(parts) < 3 else "")


@st.composite
def terms(draw: st.DrawFn) -> tuple[str, Any]:
    parts = draw(st.lists(numbers, min_size=1, max_size=3))
    text = part_of(parts, draw(wildcards))
    size, given_part = len(parts), tuple(parts)
    low = (*parts, 0, 0)[:3]
    match draw(st.sampled_from(["", "=", ">", ">=", "<", "<=", "^", "~", "hyphen"])):
        case "" | "=" as sign:
            return sign + text, lambda v: v[:size] == given_part
        case ">":
            return ">" + text, lambda v: v[:size] > given_part
        case ">=":
            return ">=" + text, lambda v: v[:size] >= given_part
        case "<":
            return "<" + text, lambda v: v[:size] < given_part
        case "<=":
            return "<=" + text, lambda v: v[:size] <= given_part
        case "^":
            first = next((i for i, n in enumerate(parts) if n), size - 1)
            return "^" + text, lambda v: v >= low and v[: first + 1] == low[: first + 1]
        case "~":
            keep = min(size, 2)
            return "~" + text, lambda v: v >= low and v[:keep] == given_part[:keep]
        case _:
            top = tuple(draw(st.lists(numbers, min_size=1, max_size=3)))
            high = part_of(list(top), "")
            return f"{text} - {high}", lambda v: low <= v and v[: len(top)] <= top


groups = st.lists(terms(), min_size=1, max_size=3).filter(
    # node-semver reads a hyphen range only if it stands alone; ours has a test of its own.
    lambda group: len(group) == 1 or not any(" - " in text for text, _ in group)
)
alternatives = st.lists(groups, min_size=1, max_size=3)


def spell(group: list[list[tuple[str, Any]]]) -> str:
    return " || ".join(" ".join(text for text, _ in terms) for terms in group)


@given(alternatives)
def test_ranges_mean_what_their_definition_says(tree: list[list[tuple[str, Any]]]) -> None:
    """For every release on a grid a range allows what the definition of its terms does."""
    requirement = versions.Requirement.parse(spell(tree))
    for text in GRID:
        core = tuple(map(int, text.split(".")))
        expected = any(all(holds(core) for _, holds in terms) for terms in tree)
        assert requirement.allows(text) is expected, (requirement, text)


@given(alternatives, st.sampled_from(GRID))
def test_releases_agree_with_node_semver(tree: list[list[tuple[str, Any]]], version: str) -> None:
    """A release is allowed exactly where node-semver allows it."""
    text = spell(tree)
    theirs = nodesemver.satisfies(version, text)
    assert versions.Requirement.parse(text).allows(version) is theirs


bounds = st.builds(
    lambda sign, core, pre: f"{sign}{core}{pre}",
    st.sampled_from(["", ">", ">=", "<", "<="]),
    st.sampled_from(GRID),
    st.sampled_from(["", "-a", "-a.1", "-b"]),
)


@given(st.lists(bounds, min_size=2, max_size=3), st.sampled_from(GRID), st.sampled_from("ab"))
def test_prereleases_in_and_groups_agree_with_node_semver(
    group: list[str], core: str, pre: str
) -> None:
    """In a group of several comparators the guard for pre-releases is that of node-semver."""
    text, version = " ".join(group), f"{core}-{pre}"
    assert versions.Requirement.parse(text).allows(version) is nodesemver.satisfies(version, text)


@given(bounds, st.sampled_from(GRID), st.sampled_from("ab"))
def test_a_single_comparator_has_no_guard(bound: str, core: str, pre: str) -> None:
    """A single comparator takes pre-releases as the plain order does, unlike npm."""
    version, sign = f"{core}-{pre}", bound.rstrip("0123456789.-ab")
    order = nodesemver.compare(version, bound.removeprefix(sign), loose=False)
    expected = {"": order == 0, ">": order > 0, ">=": order >= 0, "<": order < 0, "<=": order <= 0}
    assert versions.Requirement.parse(bound).allows(version) is expected[sign]


@given(groups, groups, st.sampled_from(GRID))
def test_joined_groups_allow_what_both_allow(
    left: list[tuple[str, Any]], right: list[tuple[str, Any]], version: str
) -> None:
    """Without OR, a release satisfies the joined range if and only if it satisfies both."""
    one, two = (versions.Requirement.parse(spell([group])) for group in (left, right))
    both = one.allows(version) and two.allows(version)
    assert versions.join([one, two]).allows(version) is both


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=40), st.text("0123.x*<>=^~|()- ab+", max_size=40)))
def test_garbage_is_refused_with_our_error_only(text: str) -> None:
    """A text is a range or a RequirementError, never another exception."""
    message = ""
    try:
        versions.Requirement.parse(text).allows("1.2.3")
    except errors.RequirementError as error:
        message = str(error)
    assert not re.search(r"[\r\n]", message)
