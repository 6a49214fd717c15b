from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fleet import samples
from verge.fleet import bundle, errors, project, validate

REPOSITORY = Path(__file__).resolve().parents[3]
A, B, C = "com.example.A", "com.example.B", "com.example.C"


def said(where: project.Project, *names: str) -> list[str]:
    """Return what is found as text."""
    return [str(finding) for finding in validate.validate_components(where, names)]


def test_good_components_have_no_findings(where: project.Project) -> None:
    """Nothing is found where nothing is wrong."""
    samples.add_component(where, A)
    samples.add_component(
        where, B, needs={A: ">=1.0.0 <2.0.0", "aws.greengrass.Nucleus": ">=2.0.0"}
    )
    assert said(where) == []


def test_components_of_this_repository_are_valid() -> None:
    """What is shipped here has no errors and runs on classic and Lite alike."""
    assert said(project.Project(REPOSITORY)) == []


def test_all_errors_are_found_in_one_go(where: project.Project) -> None:
    """One broken component hides nothing about the others; errors come before warnings."""
    (samples.add_component(where, A) / "gdk-config.json").write_text("{")
    (samples.add_component(where, B) / "recipe.yaml").write_text("a: [")
    folder = samples.add_component(where, C)
    recipe = (folder / "recipe.yaml").read_text().replace(", runtime: '*'", "")
    (folder / "recipe.yaml").write_text(recipe.replace(f"{C}.zip", "other.zip"))
    samples.add_component(where, "com.example.D", needs={"com.example.E": "^1.0.0"})
    found = validate.validate_components(where)
    assert [(item.component, item.severity) for item in found] == [
        (A, "error"),
        (B, "error"),
        (C, "error"),
        ("com.example.D", "error"),
        ("com.example.D", "warning"),
    ]
    assert [item.message.split(": ")[0] for item in found[:4]] == [
        f"components/{A}/gdk-config.json",
        f"components/{B}/recipe.yaml",
        f"components/{C}/recipe.yaml",
        "components/com.example.D/recipe.yaml",
    ]


DEPENDENCIES = {
    "missing": (
        {A: {"com.example.None": ">=1.0.0"}},
        {},
        (
            f"error: components/{A}/recipe.yaml: ComponentDependencies/com.example.None: "
            "cannot find the dependency com.example.None: "
            "components/ has no component of that name"
        ),
    ),
    "a range the version here does not satisfy": (
        {A: {B: ">=2.0.0"}, B: {}},
        {B: "1.4.0"},
        (
            f"error: components/{A}/recipe.yaml: ComponentDependencies/{B}/VersionRequirement: "
            f"cannot satisfy '>=2.0.0': {B} has version 1.4.0"
        ),
    ),
    "a range that the first version does not satisfy": (
        {A: {B: ">=2.0.0"}, B: {}},
        {},
        (
            f"error: components/{A}/recipe.yaml: ComponentDependencies/{B}/VersionRequirement: "
            f"cannot satisfy '>=2.0.0': {B} has version 1.0.0"
        ),
    ),
    "cycle of two": (
        {A: {B: ">=1.0.0"}, B: {A: ">=1.0.0"}},
        {},
        (
            f"error: components/{A}/recipe.yaml: ComponentDependencies/{B}: "
            f"there is a dependency cycle: {A} → {B} → {A}"
        ),
    ),
    "cycle of three": (
        {A: {B: ">=1.0.0"}, B: {C: ">=1.0.0"}, C: {A: ">=1.0.0"}},
        {},
        (
            f"error: components/{A}/recipe.yaml: ComponentDependencies/{B}: "
            f"there is a dependency cycle: {A} → {B} → {C} → {A}"
        ),
    ),
    "on itself": (
        {A: {A: ">=1.0.0"}},
        {},
        (
            f"error: components/{A}/recipe.yaml: ComponentDependencies/{A}: "
            f"there is a dependency cycle: {A} → {A}"
        ),
    ),
}


@pytest.mark.parametrize(
    ("needs", "versions", "sentence"), DEPENDENCIES.values(), ids=DEPENDENCIES.keys()
)
def test_bad_dependency_is_found(
    where: project.Project,
    needs: dict[str, dict[str, str]],
    versions: dict[str, str],
    sentence: str,
) -> None:
    """A dependency that cannot be satisfied gets one sentence with its place."""
    for name, wanted in needs.items():
        samples.add_component(where, name, needs=wanted, version=versions.get(name, "NEXT_PATCH"))
    assert said(where) == [sentence]


def test_versions_given_out_count(where: project.Project) -> None:
    """What NEXT_PATCH stands for is the highest version that was given out."""
    folder = samples.add_component(where, B)
    bundle.build_bundle(where)
    (folder / "src/main.py").write_text("2")
    bundle.build_bundle(where)
    samples.add_component(where, A, needs={B: ">=1.0.1"})
    assert said(where) == []


def test_names_narrow_the_findings(where: project.Project) -> None:
    """With names only these components are told about, by component or folder name."""
    (samples.add_component(where, A, folder="a") / "recipe.yaml").write_text("a: [")
    (samples.add_component(where, B) / "recipe.yaml").write_text("a: [")
    (samples.add_component(where, C) / "gdk-config.json").write_text("{")
    assert [line.split("/")[1] for line in said(where, "a")] == ["a"]
    assert [line.split("/")[1] for line in said(where, A, C)] == ["a", C]
    with pytest.raises(errors.FleetError, match=r"cannot find com\.example\.X"):
        said(where, "com.example.X")


def test_two_components_of_one_name_are_found(where: project.Project) -> None:
    """Two folders with the same component are named both."""
    samples.add_component(where, A, folder="a")
    samples.add_component(where, A, folder="b")
    assert said(where) == [
        (
            f"error: components/b/gdk-config.json: component: {A} is the name of another "
            "component, see components/a/gdk-config.json"
        )
    ]


def test_custom_output_is_checked_where_there_is_one(where: project.Project) -> None:
    """Of a custom build only its output can tell whether artifacts are there."""
    folder = samples.add_custom(where, "")
    assert said(where) == []
    samples.write_files(
        folder / "greengrass-build",
        {"recipes/recipe.yaml": samples.recipe_text("model.zip")},
    )
    (folder / "greengrass-build/artifacts/com.example.Custom/NEXT_PATCH").mkdir(parents=True)
    assert said(where) == [
        (
            "error: components/com.example.Custom/greengrass-build/recipes/recipe.yaml: "
            "Manifests/0/Artifacts/0: cannot find the artifact model.zip: "
            "the build of com.example.Custom gives no file"
        )
    ]
