from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.fleet import samples
from verge.fleet import changes, errors, project

ONNX, MODEL, DETECTOR = "verge.Onnx", "verge.OnnxModel", "verge.Detector"


def git(where: project.Project, *arguments: str) -> None:
    """Run git in the checkout."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", "-C", str(where.root), *identity, *arguments], check=True)


def commit(where: project.Project) -> None:
    """Commit all there is."""
    git(where, "add", "-A")
    git(where, "commit", "-q", "-m", "state", "--allow-empty")


@pytest.fixture
def fleet(where: project.Project) -> project.Project:
    """Return a repository: verge.Detector needs verge.Onnx; verge.OnnxModel stands alone."""
    samples.write_files(where.shared_dir, {"lib/a.py": "1", "other/b.py": "1"})
    samples.write_files(where.components_dir, {"_template/recipe.yaml": "1"})
    (where.root / ".gitignore").write_text("greengrass-build/\n.verge/\n__pycache__/\n")
    samples.add_component(where, ONNX)
    samples.add_component(where, MODEL)
    folder = samples.add_component(where, DETECTOR, needs={ONNX: "*"})
    (folder / "lib").symlink_to("../_shared/lib")
    samples.write_files(where.root, {"src/wire.py": "1", "src/other.py": "1"})
    (where.shared_dir / "lib" / "wire.py").symlink_to("../../../src/wire.py")
    git(where, "init", "-q", "-b", "main")
    commit(where)
    return where


def write(name: str, text: str = "changed") -> Callable[[Path], object]:
    """Return an edit that writes a file."""
    return lambda root: samples.write_files(root, {f"components/{name}": text})


EDITS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "nothing": (lambda root: root, []),
    "a source": (write(f"{MODEL}/src/main.py"), [MODEL]),
    "what a link out of components/ leads to": (
        lambda root: samples.write_files(root, {"src/wire.py": "changed"}),
        [DETECTOR],
    ),
    "what lies beside it": (
        lambda root: samples.write_files(root, {"src/other.py": "changed"}),
        [],
    ),
    "a source of a dependency": (write(f"{ONNX}/src/main.py"), [DETECTOR, ONNX]),
    "a new file": (write(f"{MODEL}/new.txt"), [MODEL]),
    "an executable bit": (
        lambda root: (root / f"components/{MODEL}/src/main.py").chmod(0o755),
        [MODEL],
    ),
    "a deleted file": (lambda root: (root / f"components/{MODEL}/src/main.py").unlink(), [MODEL]),
    "the recipe": (write(f"{MODEL}/recipe.yaml", samples.recipe_text(None)), [MODEL]),
    "a test, which is left out of the archive": (write(f"{MODEL}/tests/test_main.py"), []),
    "bytecode": (write(f"{MODEL}/src/__pycache__/main.pyc"), []),
    "build output": (write(f"{MODEL}/greengrass-build/recipes/recipe.yaml"), []),
    "a shared file that a link leads to": (write("_shared/lib/a.py"), [DETECTOR]),
    "a shared file nobody uses": (write("_shared/other/b.py"), []),
    "the template": (write("_template/recipe.yaml"), []),
    "a file elsewhere": (lambda root: (root / "README.md").write_text("new"), []),
    "a new component": (
        lambda root: samples.add_component(project.Project(root), "verge.New"),
        ["verge.New"],
    ),
    "a component that nothing needs is gone": (
        lambda root: (root / f"components/{MODEL}").rename(root / "away"),
        [],
    ),
    "a component that another needs is gone": (
        lambda root: (root / f"components/{ONNX}").rename(root / "away"),
        [DETECTOR],
    ),
}


@pytest.mark.parametrize("committed", [False, True], ids=["working tree", "two commits later"])
@pytest.mark.parametrize(("edit", "expected"), EDITS.values(), ids=EDITS.keys())
def test_changed(
    fleet: project.Project,
    edit: Callable[[Path], object],
    expected: list[str],
    committed: bool,
) -> None:
    """What differs from the revision is changed, with all that depends on it, and no other."""
    git(fleet, "tag", "before")
    edit(fleet.root)
    if committed:
        commit(fleet)
        (fleet.root / "later.txt").touch()
        commit(fleet)
    assert changes.changed_components(fleet, since="before") == expected


def test_change_that_was_taken_back_is_none(fleet: project.Project) -> None:
    """Content decides: two commits that cancel each other leave nothing changed."""
    for text in ("changed", "print('hello')\n"):
        write(f"{MODEL}/src/main.py", text)(fleet.root)
        commit(fleet)
    assert changes.changed_components(fleet, since="HEAD~2") == []
    assert changes.changed_components(fleet, since="HEAD~1") == [MODEL]


def test_configuration_that_names_shared_files_makes_all_of_them_count(
    fleet: project.Project,
) -> None:
    """A component whose gdk-config.json says `_shared` uses that folder whole."""
    samples.add_custom(fleet, "", "verge.Custom", extra={"uses": "../_shared"})
    commit(fleet)
    write("_shared/other/b.py")(fleet.root)
    assert changes.changed_components(fleet, since="HEAD") == ["verge.Custom"]


@pytest.mark.parametrize("since", ["no-such-branch", "--output=x", ""], ids=repr)
def test_unknown_revision_is_refused(fleet: project.Project, since: str) -> None:
    """A revision git does not know is named; what looks like an option is none."""
    with pytest.raises(errors.FleetError) as told:
        changes.changed_components(fleet, since=since)
    assert told.value.message == f"cannot compare with {since!r}: git knows no such revision"
    assert not (fleet.root / "x").exists()
    assert told.value.hint


def test_folder_without_git_is_refused(where: project.Project) -> None:
    """Outside a git checkout there is nothing to compare with."""
    with pytest.raises(
        errors.FleetError, match="cannot compare with 'HEAD': fatal: not a git repo"
    ):
        changes.changed_components(where, since="HEAD")
