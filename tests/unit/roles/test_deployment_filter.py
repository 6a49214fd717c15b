"""What of a release a device needs."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles import loading

deployment = loading.load("deployment", "filter_plugins", "deployment")

RECIPE = """\
RecipeFormatVersion: "2020-01-25"
ComponentName: {name}
ComponentVersion: "{version}"
ComponentDependencies: {dependencies}
Manifests:
  - Platform: {{os: linux, runtime: "*"}}
    Lifecycle: {{run: "true"}}
"""


def _bundle(folder: Path, components: dict[str, list[str]]) -> Path:
    index: dict[str, Any] = {"format": 1, "components": {}}
    (folder / "recipes").mkdir()
    for name, needs in components.items():
        recipe = f"recipes/{name}-1.2.3.yaml"
        wanted = {need: {"VersionRequirement": "*"} for need in needs}
        text = RECIPE.format(name=name, version="1.2.3", dependencies=json.dumps(wanted))
        (folder / recipe).write_text(text)
        artifact = {"file": "x.zip", "sha256": "cd" * 32, "size": 1}
        index["components"][name] = {
            "version": "1.2.3",
            "identity": "-",
            "recipe": recipe,
            "artifacts": [artifact],
        }
    (folder / "bundle.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    """Return a bundle in which a needs b, b needs c and the nucleus, and d stands alone."""
    needs = {"a": ["b"], "b": ["c", "aws.greengrass.Nucleus"], "c": ["a"], "d": []}
    return str(_bundle(tmp_path, needs))


def test_release_is_what_is_wanted_and_what_that_needs(bundle: str) -> None:
    """Dependencies come along, whatever their order; other components stay behind."""
    release = deployment.deployment_release(bundle, {"a": {"version": ">=1.0.0 <2.0.0"}})
    assert release["versions"] == {"a": "1.2.3", "b": "1.2.3", "c": "1.2.3"}
    assert {"file": "artifacts/b/1.2.3/x.zip", "sha256": "cd" * 32} in release["files"]
    assert sorted(release["recipes"]) == ["a-1.2.3.yaml", "b-1.2.3.yaml", "c-1.2.3.yaml"]
    text = release["recipes"]["a-1.2.3.yaml"]
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert {"file": "recipes/a-1.2.3.yaml", "sha256": digest} in release["files"]
    assert not any("d-1.2.3" in file["file"] for file in release["files"])


def test_nothing_wanted_needs_no_bundle(tmp_path: Path) -> None:
    """A device that is to run nothing needs no release."""
    release = deployment.deployment_release(str(tmp_path / "none"), {})
    assert release == {"files": [], "recipes": {}, "versions": {}, "refusal": ""}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"a": {"version": ">=2.0.0"}}, "cannot deploy a: deployment_components asks for >=2.0.0"),
        (
            {"a": {"version": "one"}},
            "cannot deploy a: deployment_components/a/version: cannot read",
        ),
        ({"e": None}, "cannot deploy e: deployment_components names it"),
    ],
    ids=["out of range", "no range", "unknown"],
)
def test_what_the_release_cannot_satisfy_is_refused(
    bundle: str, wanted: dict[str, Any], said: str
) -> None:
    """A wish that cannot be met is refused by component and file before anything is sent."""
    release = deployment.deployment_release(bundle, wanted)
    assert release["refusal"].startswith(said)
    assert release["files"] == []


def test_missing_dependency_is_refused(tmp_path: Path) -> None:
    """A dependency that the release lacks is refused with both names."""
    folder = _bundle(tmp_path, {"a": ["b"]})
    release = deployment.deployment_release(str(folder), {"a": {}})
    assert re.search("cannot deploy b: a depends on it", release["refusal"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"components": {"a": {}}}', '{"components": 1}'])
def test_damaged_index_is_refused(tmp_path: Path, text: str) -> None:
    """An index that cannot be understood is refused with its path and the next step."""
    (tmp_path / "bundle.json").write_text(text)
    release = deployment.deployment_release(str(tmp_path), {"a": {}})
    assert re.search(r"bundle\.json cannot be understood .*`inv bundle`", release["refusal"])


def test_missing_bundle_and_recipe_are_refused(tmp_path: Path) -> None:
    """A release that was never made, or lost a recipe, is refused with the next step."""
    release = deployment.deployment_release(str(tmp_path), {"a": {}})
    assert re.search(r"bundle\.json does not exist; run `inv bundle`", release["refusal"])
    _bundle(tmp_path, {"a": []})
    (tmp_path / "recipes" / "a-1.2.3.yaml").unlink()
    release = deployment.deployment_release(str(tmp_path), {"a": {}})
    assert re.search(r"cannot deploy a: .*run `inv bundle`", release["refusal"])
