"""What in a recipe keeps Greengrass Lite from running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cases.recipe import changes
from verge.recipe import portability, reading

CASES = Path(__file__).parents[2] / "cases" / "recipe"
TABLE = yaml.safe_load((CASES / "portability.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in TABLE])
def test_rules_find_what_lite_cannot_run(case: dict[str, Any]) -> None:
    """Each change to a portable recipe is found by its rule, at its place, and by no other."""
    document = changes.load(CASES / "portable.yaml", case)
    if document.get("ComponentDescription") == "LARGE":
        document["ComponentDescription"] = "x" * portability.MAX_RECIPE_BYTES
    problems = portability.portability_problems(reading.read_recipe(document), source="recipe.yaml")
    expected = [pair for rule in case["rules"] for pair in rule.items()]
    assert [(problem.rule, problem.path) for problem in problems] == expected
    for problem in problems:
        assert str(problem).startswith("recipe.yaml: ")
        assert "\n" not in str(problem)


def test_the_size_is_that_of_the_published_file() -> None:
    """A size that is given counts instead of that of our own spelling."""
    recipe = reading.read_recipe(changes.load(CASES / "portable.yaml", {}))
    limit = portability.MAX_RECIPE_BYTES
    assert portability.portability_problems(recipe, size=limit) == []
    (problem,) = portability.portability_problems(recipe, size=limit + 1)
    assert str(problem) == (
        "recipe: has 8197 bytes and Lite reads 8196; move scripts into artifacts"
    )


def test_a_brace_is_shown_where_the_script_is_cut_off() -> None:
    """The finding quotes the text at which Lite stops."""
    case = {"set": {"Manifests/0/Lifecycle/run": "echo {work:path}\necho ${HOME} x"}}
    recipe = reading.read_recipe(changes.load(CASES / "portable.yaml", case))
    (problem,) = portability.portability_problems(recipe)
    assert "'${HOME} x'" in problem.reason
