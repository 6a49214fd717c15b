"""Dependencies between the components of a repository: missing ones, cycles, ranges not met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from verge.recipe import errors, graph, model, versions

PROVIDED = "aws.greengrass."
"""Components whose names begin so are AWS's own, or the nucleus: they come from elsewhere."""


@dataclass(frozen=True)
class Problem:
    """A dependency that cannot be satisfied."""

    component: str
    path: str
    """The place in the recipe."""
    reason: str
    hint: str


def find_problems(
    recipes: Mapping[str, model.Recipe], available: Mapping[str, str]
) -> list[Problem]:
    """Return what is wrong with the dependencies between these components.

    `available` maps each component there is to its version.
    """
    problems = [
        problem
        for name, recipe in sorted(recipes.items())
        for need, dependency in recipe.dependencies.items()
        if (problem := _problem(name, need, dependency, available)) is not None
    ]
    inner = {
        name: [need for need in recipe.dependencies if need in recipes]
        for name, recipe in recipes.items()
    }
    try:
        graph.order_components(inner)
    except errors.DependencyCycleError as error:
        problems.append(
            Problem(
                error.cycle[0],
                f"ComponentDependencies/{error.cycle[1]}",
                f"there is a dependency cycle: {' → '.join(error.cycle)}",
                "remove one of these dependencies",
            )
        )
    return problems


def _problem(
    name: str, need: str, dependency: model.Dependency, available: Mapping[str, str]
) -> Problem | None:
    path = f"ComponentDependencies/{need}"
    if need not in available:
        if need.startswith(PROVIDED):
            return None
        return Problem(
            name,
            path,
            f"cannot find the dependency {need}: components/ has no component of that name",
            "add that component or remove the dependency",
        )
    version = available[need]
    if versions.Requirement.parse(dependency.requirement).allows(version):
        return None
    return Problem(
        name,
        f"{path}/VersionRequirement",
        f"cannot satisfy {dependency.requirement!r}: {need} has version {version}",
        "widen the range, or change the version of that component",
    )
