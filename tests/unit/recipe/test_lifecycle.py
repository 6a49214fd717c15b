"""The lifecycle a manifest gets, and its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from verge.recipe import errors, lifecycle, model

CASES = Path(__file__).parents[2] / "cases" / "recipe"
SELECTIONS = yaml.safe_load((CASES / "selections.yml").read_text(encoding="utf-8"))
STEPS = yaml.safe_load((CASES / "steps.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in SELECTIONS])
def test_lifecycles_are_selected_as_the_contract_says(case: dict[str, Any]) -> None:
    """The chosen manifest gets its own lifecycle or what its selections leave."""
    manifests = [
        model.Manifest(selections=None if names is None else tuple(names))
        for names in case["manifests"]
    ]
    manifests[0] = msgspec.structs.replace(manifests[0], lifecycle=case.get("own", {}))
    recipe = model.Recipe(
        name="a", version="1.0.0", lifecycle=case["global"], manifests=tuple(manifests)
    )
    assert lifecycle.select_lifecycle(recipe, manifests[0]) == case["selected"]


def test_a_selection_must_leave_steps() -> None:
    """A global lifecycle that turns out to be text is refused."""
    manifest = model.Manifest()
    recipe = model.Recipe(name="a", version="1.0.0", lifecycle={"all": "x"}, manifests=(manifest,))
    with pytest.raises(errors.RecipeError, match=r"^Lifecycle: must hold steps"):
        lifecycle.select_lifecycle(recipe, manifest)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["id"]) for case in STEPS if "steps" in case]
)
def test_steps_are_read_with_their_defaults(case: dict[str, Any]) -> None:
    """Steps have the scripts and settings of the table, and defaults elsewhere."""
    expected: dict[str, Any] = {
        name: lifecycle.Step(**fields) for name, fields in case["steps"].items()
    }
    assert lifecycle.parse_lifecycle(case["lifecycle"]) == lifecycle.Lifecycle(**expected)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["id"]) for case in STEPS if "says" in case]
)
def test_bad_steps_are_refused_by_name(case: dict[str, Any]) -> None:
    """A step that cannot be used is refused with its place and its name."""
    with pytest.raises(errors.StepError) as caught:
        lifecycle.parse_lifecycle(case["lifecycle"])
    assert str(caught.value) == case["says"]
    assert caught.value.step == case["step"]


def test_the_environment_of_all_steps_and_the_error_window_are_read() -> None:
    """`Setenv` beside the steps and `lifecycle.errorResetTime` are part of the lifecycle."""
    parsed = lifecycle.parse_lifecycle(
        {"setenv": {"A": 1}, "Lifecycle": {"errorresettime": "60"}, "run": "x"}
    )
    assert parsed.setenv == {"A": "1"}
    assert parsed.error_reset == 60.0
    assert lifecycle.parse_lifecycle({}).error_reset == 3600.0


@pytest.mark.parametrize(
    ("text", "kind", "argument", "negated"),
    [
        ("onpath python3", "onpath", "python3", False),
        ("exists /etc/my file", "exists", "/etc/my file", False),
        ("!onpath python3", "onpath", "python3", True),
        ("  ! EXISTS  /etc/x  ", "exists", "/etc/x", True),
    ],
)
def test_conditions_are_read(text: str, kind: str, argument: str, negated: bool) -> None:
    """A condition is a kind, an argument and an optional negation."""
    expected = lifecycle.Skipif(lifecycle.SkipifKind(kind), argument, negated=negated)
    assert lifecycle.parse_skipif(text) == expected


@pytest.mark.parametrize(
    "text", ["", "onpath", "exists ", "not exists x", "!!exists x", "test -f x"]
)
def test_other_conditions_are_refused(text: str) -> None:
    """A text that is no condition is refused with what it may be."""
    with pytest.raises(errors.RecipeError, match="must be 'onpath <program>' or"):
        lifecycle.parse_skipif(text)


keys = st.sampled_from(["run", "Install", "setenv", "lifecycle", "Script", "Timeout", "Skipif", ""])
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(keys, trees))
def test_any_mapping_is_read_or_refused_with_our_error(mapping: dict[str, Any]) -> None:
    """Whatever a recipe holds below `Lifecycle`, the result is steps or a StepError."""
    result: lifecycle.Lifecycle | errors.StepError
    try:
        result = lifecycle.parse_lifecycle(mapping)
    except errors.StepError as error:
        result = error
    assert isinstance(result, lifecycle.Lifecycle) or result.step in {
        *lifecycle.STEPS,
        "setenv",
        "lifecycle",
    }
