"""The documentation keeps up with the product."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import invoke
import pytest

from verge.recipe import loading

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "components").glob("*/README.md")),
    *sorted((ROOT / "roles").glob("*/README.md")),
]


@pytest.fixture(scope="module")
def verbs() -> dict[str, invoke.Task[Any]]:
    """Return the tasks by name."""
    sys.path.insert(0, str(ROOT))
    try:
        module, _ = invoke.FilesystemLoader(start=str(ROOT)).load("tasks")
        collection = invoke.Collection.from_module(module)
        return {name: collection[name] for name in collection.task_names}
    finally:
        sys.path.remove(str(ROOT))


def test_every_verb_stands_in_the_readme(verbs: dict[str, invoke.Task[Any]]) -> None:
    """A verb that the README does not name cannot be found."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\./inv ([a-z][a-z-]*)", readme))
    assert set(verbs) - named == set()
    assert named - set(verbs) == set()


def test_every_verb_explains_itself(verbs: dict[str, invoke.Task[Any]]) -> None:
    """Each verb has a description, and each of its options a help text."""
    for name, verb in verbs.items():
        assert verb.__doc__, name
        for argument in verb.get_arguments():
            assert argument.help, f"{name} --{argument.name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """A relative link names a file that exists."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(document: Path) -> None:
    """A path in backquotes that begins with a folder of the repository exists."""
    folders = "components|inventory|playbooks|roles|src|tests|docs|molecule|pictures|wheelhouse"
    text = document.read_text(encoding="utf-8")
    for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", text):
        if not path.startswith("tests/unit/<") and "greengrass-build" not in path:
            assert (ROOT / path).exists() or (document.parent / path).exists(), path


def test_unknown_verb_is_wrong_usage() -> None:
    """A verb that does not exist ends with exit code 2 and a next step."""
    done = subprocess.run(
        [sys.executable, "-m", "verge.fleet.program", "--search-root", str(ROOT), "nonsense"],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "TIP" in done.stderr


def test_every_component_setting_stands_in_the_reference() -> None:
    """Each key of a shipped component's default configuration is explained."""
    reference = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    sections = dict(
        section.partition("\n")[::2] for section in re.split(r"^## ", reference, flags=re.MULTILINE)
    )
    for path in sorted((ROOT / "components").glob("verge.*/recipe.yaml")):
        recipe = loading.load_recipe(path)
        for key in recipe.default_configuration:
            if key != "accessControl":
                assert f"| `{key}` |" in sections[recipe.name], f"{recipe.name}: {key}"
