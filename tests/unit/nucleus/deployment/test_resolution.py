"""Which versions a device gets."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verge.nucleus.deployment import failures, resolution
from verge.recipe import errors, versions

Recipes = Mapping[str, Mapping[str, Mapping[str, str]]]

RECIPES: Recipes = {
    "app": {"1.0.0": {"lib": ">=1.0.0"}, "2.0.0": {"lib": ">=2.0.0", "nucleus": ">=2.0.0"}},
    "tool": {"1.0.0": {"lib": "<2.0.0"}},
    "lib": {"1.0.0": {}, "1.5.0": {}, "2.0.0": {"base": "*"}},
    "base": {"1.0.0": {}},
    "egg": {"1.0.0": {"hen": "*"}},
    "hen": {"1.0.0": {"egg": "*"}},
}


def resolve(
    roots: Mapping[str, Mapping[str, str]],
    active: Mapping[str, str] | None = None,
    known: Recipes = RECIPES,
) -> dict[str, str]:
    def candidates(name: str, _requesters: object) -> list[resolution.Candidate]:
        return [
            resolution.Candidate(versions.Version.parse(version), dependencies)
            for version, dependencies in known.get(name, {}).items()
        ]

    resolved = resolution.resolve(
        resolution.Request(
            roots=roots,
            candidates=candidates,
            active={n: versions.Version.parse(v) for n, v in (active or {}).items()},
            built_in={"nucleus": versions.Version.parse("2.18.0")},
        )
    )
    return {name: str(version) for name, version in resolved.items()}


@pytest.mark.parametrize(
    ("roots", "active", "expected"),
    [
        pytest.param({}, {}, {}, id="nothing"),
        pytest.param(
            {"g": {"app": "1.0.0"}},
            {},
            {"app": "1.0.0", "lib": "2.0.0", "base": "1.0.0"},
            id="highest-that-fits",
        ),
        pytest.param(
            {"g": {"app": "1.0.0"}},
            {"lib": "1.0.0"},
            {"app": "1.0.0", "lib": "1.0.0"},
            id="active-is-kept",
        ),
        pytest.param(
            {"g": {"app": "2.0.0"}},
            {"lib": "1.0.0"},
            {"app": "2.0.0", "lib": "2.0.0", "base": "1.0.0"},
            id="active-that-does-not-fit-goes",
        ),
        pytest.param(
            {"g": {"app": "1.0.0"}, "h": {"tool": "1.0.0"}},
            {},
            {"app": "1.0.0", "tool": "1.0.0", "lib": "1.5.0"},
            id="later-requirement-withdraws-what-the-former-choice-brought",
        ),
        pytest.param({"g": {"nucleus": "*"}}, {}, {}, id="built-in-needs-nothing"),
    ],
)
def test_resolution(
    roots: Mapping[str, Mapping[str, str]], active: Mapping[str, str], expected: dict[str, str]
) -> None:
    """Everyone's requirements hold, the active version stays where it fits, else the highest."""
    assert resolve(roots, active) == expected


@pytest.mark.parametrize(
    ("roots", "sentences"),
    [
        pytest.param(
            {"g": {"app": "2.0.0", "tool": "1.0.0"}},
            ["app 2.0.0 asks for >=2.0.0", "tool 1.0.0 asks for <2.0.0", "1.0.0, 1.5.0, 2.0.0"],
            id="two-components",
        ),
        pytest.param(
            {"g": {"lib": "1.0.0"}, "h": {"lib": "2.0.0"}},
            ["group g asks for 1.0.0", "group h asks for 2.0.0"],
            id="two-groups",
        ),
        pytest.param(
            {"g": {"ghost": "*"}}, ["group g asks for *", "no version of it"], id="unknown"
        ),
        pytest.param(
            {"g": {"nucleus": ">=3.0.0"}}, ["group g asks for >=3.0.0", "2.18.0"], id="built-in"
        ),
    ],
)
def test_conflict_names_both_sides(
    roots: Mapping[str, Mapping[str, str]], sentences: list[str]
) -> None:
    """Whoever disagrees is named with what they ask for, and with what is at hand."""
    with pytest.raises(failures.DeploymentError) as raised:
        resolve(roots)
    assert all(sentence in str(raised.value) for sentence in sentences)
    assert raised.value.code == "NO_AVAILABLE_COMPONENT_VERSION"


def test_cycle_is_named() -> None:
    """Components that need one another are refused with the way round."""
    with pytest.raises(errors.DependencyCycleError, match="egg → hen → egg"):
        resolve({"g": {"egg": "*"}})


NAMES = st.sampled_from("abcde")
VERSIONS = st.sampled_from(["1.0.0", "1.1.0", "2.0.0"])
RANGES = st.sampled_from(["*", ">=1.1.0", "<2.0.0", "1.0.0", ">=2.0.0"])


@given(
    st.dictionaries(
        NAMES, st.dictionaries(VERSIONS, st.dictionaries(NAMES, RANGES, max_size=2), max_size=3)
    ),
    st.dictionaries(NAMES, RANGES, max_size=3),
)
def test_outcome_satisfies_everyone(known: Recipes, roots: dict[str, str]) -> None:
    """Whatever the recipes, the outcome is complete and nobody's range is violated, or refused."""
    try:
        resolved = resolve({"g": roots}, known=known)
    except (failures.DeploymentError, errors.RecipeError):
        return
    assert set(roots) <= set(resolved)
    for name, version in resolved.items():
        for dependency, wanted in known[name][version].items():
            assert versions.Requirement.parse(wanted).allows(resolved[dependency])
    for name, wanted in roots.items():
        assert versions.Requirement.parse(wanted).allows(resolved[name])


def every_solution(known: Recipes, roots: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield every set of versions that satisfies everyone, by trying all of them."""
    choices = [[(name, None), *((name, v) for v in known[name])] for name in sorted(known)]
    for picked in itertools.product(*choices):
        chosen = {name: version for name, version in picked if version}
        wanted = [*roots.items(), *(d for n, v in chosen.items() for d in known[n][v].items())]
        if {name for name, _ in wanted} != set(chosen):
            continue
        fits = (versions.Requirement.parse(w).allows(chosen[name]) for name, w in wanted)
        if all(fits) and acyclic({n: known[n][v] for n, v in chosen.items()}, roots):
            yield chosen


def acyclic(graph: Mapping[str, Mapping[str, str]], roots: Mapping[str, str]) -> bool:
    def visit(name: str, above: tuple[str, ...]) -> bool:
        return name not in above and all(visit(d, (*above, name)) for d in graph[name])

    return all(visit(name, ()) for name in graph) and reachable(graph, roots) == set(graph)


def reachable(graph: Mapping[str, Mapping[str, str]], roots: Mapping[str, str]) -> set[str]:
    found: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += graph[name]
    return found


@settings(max_examples=400)
@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.dictionaries(
            VERSIONS,
            st.dictionaries(st.sampled_from("abcd"), RANGES, max_size=3),
            min_size=1,
            max_size=3,
        ),
        min_size=2,
    ),
    st.dictionaries(st.sampled_from("abcd"), RANGES, min_size=1, max_size=2),
)
def test_solution_is_found_whenever_there_is_one(known: Recipes, roots: dict[str, str]) -> None:
    """What trying every set of versions finds, the resolver finds too, and nothing else."""
    solutions = list(every_solution(known, roots))
    try:
        resolved = resolve({"g": roots}, known=known)
    except (failures.DeploymentError, errors.RecipeError):
        assert not solutions
        return
    assert resolved in solutions


def test_choice_that_leads_nowhere_is_taken_back() -> None:
    """The highest version is not taken where only a lower one lets the others have theirs."""
    known: Recipes = {
        "app": {"1.0.0": {"left": "*", "right": "*"}},
        "left": {"1.0.0": {"base": "<2.0.0"}, "2.0.0": {"base": ">=2.0.0"}},
        "right": {"1.0.0": {"base": "1.0.0"}},
        "base": {"1.0.0": {}, "2.0.0": {}},
    }
    assert resolve({"g": {"app": "1.0.0"}}, known=known) == {
        "app": "1.0.0",
        "left": "1.0.0",
        "right": "1.0.0",
        "base": "1.0.0",
    }


def test_thousand_components_resolve_within_a_second() -> None:
    """A store of 1,000 components, each with three dependencies and versions, is no burden."""
    known: Recipes = {
        f"c{number}": {
            version: {f"c{n}": ">=1.0.0" for n in range(number + 1, min(number + 4, 1000))}
            for version in ("1.0.0", "1.1.0", "2.0.0")
        }
        for number in range(1000)
    }
    began = time.process_time()
    resolved = resolve({"g": {"c0": "*"}}, known=known)
    assert time.process_time() - began < 1
    assert len(resolved) == 1000
    assert set(resolved.values()) == {"2.0.0"}
