"""Which versions a device gets."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
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
    def candidates(name: str) -> list[resolution.Candidate]:
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
