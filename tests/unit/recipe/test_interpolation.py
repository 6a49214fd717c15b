"""Variables in lifecycle scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from verge.recipe import interpolation

CASES = Path(__file__).parents[2] / "cases" / "recipe"
TABLE = yaml.safe_load((CASES / "interpolation.yml").read_text(encoding="utf-8"))
OWN = interpolation.ComponentValues.under(
    "/gg",
    "com.example.Edge",
    "1.0.0",
    {
        "topic": "edge/data",
        "camera": {"size": [640, 480], "name": "Straße"},
        "a/b": "slash",
        "rate": 1.25,
        "on": True,
        "none": None,
        "tricky": "{iot:thingName}",
    },
)
RUNTIME = interpolation.ComponentValues.under(
    "/gg", "com.example.Runtime", "2.0.0", {"python": "3.11"}
)
LOOKUP = interpolation.Namespace(
    OWN, {"com.example.Runtime": RUNTIME}, root_path="/gg", thing_name="press-01"
)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["id"]) for case in TABLE if "becomes" in case]
)
def test_known_variables_become_their_values(case: dict[str, Any]) -> None:
    """Known variables are replaced as rendered, other text stays, nothing is reported."""
    reports: list[interpolation.Unresolved] = []
    assert interpolation.interpolate(case["text"], LOOKUP, reports.append) == case["becomes"]
    assert reports == []


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["id"]) for case in TABLE if "stays" in case]
)
def test_unknown_variables_stay_and_are_reported(case: dict[str, Any]) -> None:
    """A variable without a value stays in the text; the report says which and why."""
    reports: list[interpolation.Unresolved] = []
    assert interpolation.interpolate(case["text"], LOOKUP, reports.append) == case["text"]
    assert interpolation.interpolate(case["text"], LOOKUP) == case["text"]
    (report,) = reports
    assert report.placeholder in case["text"]
    assert case["stays"] in report.reason


def test_trees_are_interpolated_through_maps_and_lists_but_not_keys() -> None:
    """Every string below a lifecycle is interpolated, its keys and other values are not."""
    reports: list[interpolation.Unresolved] = []
    tree = {"run": {"{iot:thingName}": ["{iot:thingName}", 5, None]}, "a": {"b": ["{x:y}"]}}
    assert interpolation.interpolate_tree(tree, LOOKUP, reports.append) == {
        "run": {"{iot:thingName}": ["press-01", 5, None]},
        "a": {"b": ["{x:y}"]},
    }
    assert [report.path for report in reports] == ["a/b/0"]
    assert tree["run"] == {"{iot:thingName}": ["{iot:thingName}", 5, None]}


def test_configuration_values_see_system_variables_only() -> None:
    """Where configuration itself is interpolated, `configuration:` is not a variable."""
    lookup = interpolation.Namespace(OWN, {}, root_path="/gg", system_only=True)
    text = "{work:path} {configuration:/topic}"
    expected = "/gg/work/com.example.Edge {configuration:/topic}"
    assert interpolation.interpolate(text, lookup) == expected


def test_a_device_without_a_name_has_no_thing_name() -> None:
    """`{iot:thingName}` stays where the device has none."""
    lookup = interpolation.Namespace(OWN, {}, root_path="/gg")
    assert interpolation.interpolate("{iot:thingName}", lookup) == "{iot:thingName}"


def test_the_whole_configuration_is_sorted_compact_json() -> None:
    """An empty pointer gives the whole document with sorted keys and no spaces."""
    small = interpolation.ComponentValues.under("/gg", "a", "1.0.0", {"b": 1, "a": [True, None]})
    lookup = interpolation.Namespace(small, {}, root_path="/gg")
    assert interpolation.interpolate("{configuration:}", lookup) == '{"a":[true,null],"b":1}'


def test_placeholders_lists_what_looks_like_a_variable() -> None:
    """Each variable is listed with its parts, shell text is not."""
    assert interpolation.placeholders("${A} {work:path} {a.b:configuration:/x} {}") == [
        ("{work:path}", None, "work", "path"),
        ("{a.b:configuration:/x}", "a.b", "configuration", "/x"),
    ]


def refuse(component: str | None, namespace: str, key: str) -> Any:
    raise LookupError(f"asked for {component}:{namespace}:{key}")


def never(component: str | None, namespace: str, key: str) -> Any:
    raise AssertionError(f"looked up {component}:{namespace}:{key}")


@given(st.text("abc$(){}[]<>|&;'\"\\ \n/.,*?~!#%=-_0", max_size=60))
def test_shell_text_without_colons_is_never_looked_at(text: str) -> None:
    """Whatever braces a script has, without a colon inside nothing is looked up."""
    assert interpolation.interpolate(text, never) == text


@given(st.text("ab${}:/. é\n", max_size=60))
def test_text_stays_whole_where_nothing_is_known(text: str) -> None:
    """If no variable has a value the text comes back unchanged, whatever it looks like."""
    assert interpolation.interpolate(text, refuse) == text


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_values_enter_the_text_as_they_are(before: str, value: str, after: str) -> None:
    """A value is put in without quoting, escaping or group references."""
    before, after = before.replace("{", ""), after.replace("}", "")
    text = f"{before}{{configuration:/x}}{after}"
    result = interpolation.interpolate(text, lambda *_: value)
    assert result.startswith(before + value)
