"""The order of components by their dependencies."""

from __future__ import annotations

import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verge.recipe import errors, graph, model

names = st.sampled_from("ABCDEFG")
graphs = st.dictionaries(names, st.sets(names, max_size=3), max_size=7).map(
    lambda drawn: {name: needs & set(drawn) for name, needs in drawn.items()}
)


@pytest.mark.parametrize(
    ("dependencies", "order"),
    [
        ({}, []),
        ({"B": [], "A": []}, ["A", "B"]),
        ({"A": ["B"], "B": []}, ["B", "A"]),
        ({"A": ["C"], "B": [], "C": []}, ["B", "C", "A"]),
        ({"D": ["B", "C"], "C": ["A"], "B": ["A"], "A": []}, ["A", "B", "C", "D"]),
    ],
)
def test_dependencies_come_first_and_then_names_decide(
    dependencies: dict[str, list[str]], order: list[str]
) -> None:
    """A component comes after what it needs; where nothing decides, the name does."""
    assert graph.order_components(dependencies) == order


def test_dependencies_of_recipes_fit() -> None:
    """The mapping of dependencies in a recipe is taken as it is, soft ones included."""
    soft = model.Dependency("*", model.DependencyType.SOFT)
    assert graph.order_components({"A": {"B": soft}, "B": {}}) == ["B", "A"]


def test_a_missing_dependency_names_both_sides() -> None:
    """A dependency that is not there is refused with its name and its dependent's."""
    with pytest.raises(errors.MissingDependencyError) as caught:
        graph.order_components({"verge.Detector": ["verge.Model"]})
    assert (caught.value.component, caught.value.dependency) == ("verge.Detector", "verge.Model")
    assert str(caught.value) == (
        "cannot find verge.Model, which verge.Detector depends on; "
        "add that component or remove the dependency"
    )


def test_provided_components_need_no_place_in_the_order() -> None:
    """What the device provides itself satisfies dependencies and is not ordered."""
    dependencies = {"A": ["aws.greengrass.Nucleus"]}
    assert graph.order_components(dependencies, provided={"aws.greengrass.Nucleus"}) == ["A"]


@pytest.mark.parametrize(
    ("dependencies", "cycle"),
    [
        ({"A": ["A"]}, "A → A"),
        ({"A": ["B"], "B": ["A"]}, "A → B → A"),
        ({"C": ["A"], "A": ["B"], "B": ["C"]}, "A → B → C → A"),
        ({"A": ["B"], "B": ["C"], "C": ["B"], "D": []}, "B → C → B"),
    ],
    ids=["itself", "two", "three", "behind another"],
)
def test_a_cycle_is_named(dependencies: dict[str, list[str]], cycle: str) -> None:
    """A dependency cycle is refused and spelt out from its first name on."""
    with pytest.raises(errors.DependencyCycleError) as caught:
        graph.order_components(dependencies)
    assert str(caught.value) == f"cannot order the components: dependency cycle {cycle}"
    assert " → ".join(caught.value.cycle) == cycle


@given(graphs)
def test_any_graph_is_ordered_or_has_the_cycle_that_is_named(
    dependencies: dict[str, set[str]],
) -> None:
    """Either all come after what they need, or the named cycle follows real dependencies."""
    cycle: tuple[str, ...] = ()
    order: list[str] = []
    try:
        order = graph.order_components(dependencies)
    except errors.DependencyCycleError as error:
        cycle = error.cycle
    if cycle:
        assert cycle[0] == cycle[-1]
        for dependent, need in itertools.pairwise(cycle):
            assert need in dependencies[dependent]
    else:
        assert sorted(order) == sorted(dependencies)
        for name, needs in dependencies.items():
            assert all(order.index(need) < order.index(name) for need in needs)


@given(graphs, st.sets(names))
def test_dependants_are_those_that_reach_a_name(
    dependencies: dict[str, set[str]], changed: set[str]
) -> None:
    """The dependants are what a walk along dependencies from each component finds."""

    def reaches(name: str, seen: frozenset[str]) -> bool:
        needs = dependencies.get(name, set())
        return bool(needs & changed) or any(reaches(need, seen | {need}) for need in needs - seen)

    expected = {name for name in dependencies if reaches(name, frozenset({name}))}
    assert graph.dependants(dependencies, changed) == expected


def test_a_long_chain_is_ordered() -> None:
    """Thousands of components in a row need no recursion."""
    chain = {f"c{n:05}": [f"c{n - 1:05}"] if n else [] for n in range(5000)}
    assert graph.order_components(chain) == sorted(chain)
    with pytest.raises(errors.DependencyCycleError):
        graph.order_components(chain | {"c00000": ["c04999"]})


@pytest.mark.parametrize(
    "error",
    [
        errors.DependencyCycleError(["A", "B", "A"]),
        errors.MissingDependencyError("A", "B"),
        errors.RequirementError("cannot", text="x", path="a/b", source="c"),
        errors.StepError("cannot", step="run", path="run", source="c"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_processes_whole(error: errors.RecipeError) -> None:
    """An error raised in a worker process arrives with all it says."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert (str(copy), vars(copy)) == (str(error), vars(error))
