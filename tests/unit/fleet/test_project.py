from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fleet import samples
from verge.fleet import errors, project


def test_project_is_found_from_within(where: project.Project) -> None:
    """The nearest folder above with tasks.py and components/ is the project."""
    folder = where.components_dir / "a" / "components"
    folder.mkdir(parents=True)
    assert project.Project.find(folder) == where


def test_folder_outside_is_refused(tmp_path: Path) -> None:
    """Outside a checkout the folder is named, and what was looked for."""
    with pytest.raises(errors.FleetError) as told:
        project.Project.find(tmp_path)
    assert str(told.value).startswith(f"cannot find a project at or above {tmp_path}: ")


def test_folders_are_components_unless_marked(where: project.Project) -> None:
    """Folders are taken in order of names; `_…` and `.…` and files are none."""
    for name in ("b", "a", "_template", "_shared", ".cache"):
        (where.components_dir / name).mkdir()
    (where.components_dir / "README.md").touch()
    assert [folder.name for folder in where.folders()] == ["a", "b"]


def test_paths_are_shown_relative_to_the_root(where: project.Project, tmp_path: Path) -> None:
    """Messages name paths as a user would type them."""
    assert where.relative(where.components_dir / "a") == "components/a"
    assert where.relative(tmp_path / "x") == str(tmp_path / "x")


def test_missing_inventory_is_refused(where: project.Project) -> None:
    """An inventory that does not exist is refused by name."""
    with pytest.raises(errors.FleetError, match="aws"):
        where.inventory("aws")
    samples.write_files(where.root, {"inventory/aws/hosts.yml": ""})
    assert where.inventory("aws") == where.root / "inventory/aws"
