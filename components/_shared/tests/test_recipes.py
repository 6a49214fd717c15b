"""What recipes must keep to so that AWS's nucleus, its Lite form and ours all run them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPONENTS = Path(__file__).parents[2]
RECIPES = sorted(COMPONENTS.glob("*/recipe.yaml"))
VARIABLE = re.compile(
    r"\{(?:artifacts:path|artifacts:decompressedPath|work:path|kernel:rootPath|iot:thingName"
    r"|configuration:/[A-Za-z0-9]+)\}"
)
COMPARATORS = re.compile(r"(?:[<>]=?|=)?\d+\.\d+\.\d+(?: (?:[<>]=?|=)\d+\.\d+\.\d+)*")
MOST_BYTES = 8196


@pytest.fixture(params=RECIPES, ids=lambda path: path.parent.name)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def recipe(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def scripts(recipe: Any) -> Iterator[str]:
    for manifest in recipe["Manifests"]:
        for step in manifest["Lifecycle"].values():
            if isinstance(step, str):
                yield step
            else:
                yield step["Script"]
                yield from step.get("Setenv", {}).values()


def test_there_are_recipes() -> None:
    """The tests below look at every component and at the template."""
    assert {path.parent.name for path in RECIPES} >= {"_template", "verge.OnnxModel"}


def test_is_small(path: Path) -> None:
    """Lite reads recipes of 8,196 bytes at most."""
    assert path.stat().st_size < MOST_BYTES


def test_scripts_hold_known_variables_only(recipe: Any) -> None:
    """Any other brace cuts a script off on Lite, and every configuration key has a default."""
    defaults = recipe.get("ComponentConfiguration", {}).get("DefaultConfiguration", {})
    for script in scripts(recipe):
        assert not set("{}") & set(VARIABLE.sub("", script)), script
        for key in re.findall(r"\{configuration:/(\w+)\}", script):
            assert key in defaults


def test_runs_on_every_nucleus(recipe: Any) -> None:
    """Each manifest names linux and any runtime, and has a `run` step; nothing runs as root."""
    assert recipe["Manifests"]
    for manifest in recipe["Manifests"]:
        assert manifest["Platform"] == {"os": "linux", "runtime": "*"}
        assert "run" in manifest["Lifecycle"]
        assert set(manifest["Lifecycle"]) <= {"install", "run"}
    assert "RequiresPrivilege" not in json.dumps(recipe)


def test_dependencies_are_plain(recipe: Any) -> None:
    """Requirements are comparators that Lite knows, and the type is left to its default."""
    for dependency in recipe.get("ComponentDependencies", {}).values():
        assert set(dependency) == {"VersionRequirement"}
        assert COMPARATORS.fullmatch(dependency["VersionRequirement"])


def test_scalars_are_texts(recipe: Any) -> None:
    """Defaults that Lite would turn into texts are texts from the start, as components get them."""
    defaults = recipe.get("ComponentConfiguration", {}).get("DefaultConfiguration", {})
    assert all(isinstance(value, str | list | dict) for value in defaults.values())


def test_asks_for_no_more_than_it_needs(recipe: Any) -> None:
    """Policies name operations and topics one by one."""
    defaults = recipe.get("ComponentConfiguration", {}).get("DefaultConfiguration", {})
    for policies in defaults.get("accessControl", {}).values():
        for policy in policies.values():
            assert "*" not in [*policy["operations"], *policy["resources"]]
            assert not any(resource.endswith(("*", "#")) for resource in policy["resources"])


def test_fits_its_gdk_project(path: Path, recipe: Any) -> None:
    """Folder, recipe, project file and archive name one component."""
    project = json.loads((path.parent / "gdk-config.json").read_bytes())
    [(name, settings)] = project["component"].items()
    assert recipe["ComponentName"] == name
    assert path.parent.name in {name, "_template"}
    assert (settings["version"], recipe["ComponentVersion"]) == ("NEXT_PATCH", "1.0.0")
    assert settings["build"]["options"]["zip_name"] == ""
    uri = f"s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/{name}.zip"
    for manifest in recipe["Manifests"]:
        assert manifest["Artifacts"] == [{"Uri": uri, "Unarchive": "ZIP"}]


def test_the_archive_holds_what_the_device_needs(path: Path) -> None:
    """Tests, papers and caches stay at home."""
    project = json.loads((path.parent / "gdk-config.json").read_bytes())
    [settings] = project["component"].values()
    assert {"**/tests", "**/README.md", "**/requirements.in", "**/__pycache__"} <= set(
        settings["build"]["options"]["excludes"]
    )


def test_every_setting_is_documented(path: Path, recipe: Any) -> None:
    """The README explains each key of the configuration."""
    readme = (path.parent / "README.md").read_text(encoding="utf-8")
    defaults = recipe.get("ComponentConfiguration", {}).get("DefaultConfiguration", {})
    for key in set(defaults) - {"accessControl"}:
        assert f"`{key}`" in readme
