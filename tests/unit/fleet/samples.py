"""Small checkouts and components to build in temporary folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from verge.fleet import project

_REPOSITORY = Path(__file__).parents[3]


def make_project(root: Path) -> project.Project:
    """Make an empty checkout."""
    (root / "components").mkdir(parents=True)
    (root / "tasks.py").touch()
    return project.Project(root)


def make_project_with_detector(root: Path) -> project.Project:
    """Make a checkout with the detector and the pictures that ship, and results of its own."""
    made = make_project(root)
    name = "verge.OnnxObjectDetection"
    (made.components_dir / name).symlink_to(_REPOSITORY / "components" / name)
    (made.root / "pictures").symlink_to(_REPOSITORY / "pictures")
    return made


def recipe_text(
    archive: str | None = "com.example.Hello.zip", needs: Mapping[str, str] | None = None
) -> str:
    """Return a recipe with at most one artifact and these dependencies with their ranges."""
    lines = [
        'RecipeFormatVersion: "2020-01-25"',
        "ComponentName: '{COMPONENT_NAME}'",
        "ComponentVersion: '{COMPONENT_VERSION}'",
        "ComponentPublisher: '{COMPONENT_AUTHOR}'",
    ]
    if needs:
        lines.append("ComponentDependencies:")
        lines += [f'  {name}: {{VersionRequirement: "{text}"}}' for name, text in needs.items()]
    lines += ["Manifests:", "  - Platform: {os: linux, runtime: '*'}"]
    if archive:
        lines += [
            "    Artifacts:",
            f"      - URI: s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/{archive}",
            "        Unarchive: ZIP",
        ]
    lines += ["    Lifecycle:", "      run: echo hello"]
    return "\n".join(lines) + "\n"


def config_text(name: str, build: Mapping[str, Any], version: str = "NEXT_PATCH") -> str:
    """Return a `gdk-config.json`."""
    component = {
        "author": "Example",
        "version": version,
        "build": build,
        "publish": {"bucket": "b", "region": "eu-west-1"},
    }
    return json.dumps({"component": {name: component}, "gdk_version": "1.6.2"}, indent=2)


def add_component(
    where: project.Project,
    name: str = "com.example.Hello",
    *,
    folder: str | None = None,
    version: str = "NEXT_PATCH",
    excludes: Sequence[str] = ("**/tests",),
    needs: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> Path:
    """Add a component that is built as a zip and return its folder."""
    place = where.components_dir / (folder or name)
    options = {"zip_name": "", "excludes": list(excludes)}
    config = config_text(name, {"build_system": "zip", "options": options}, version)
    contents = {
        "gdk-config.json": config,
        "recipe.yaml": recipe_text(f"{name}.zip", needs),
        "src/main.py": "print('hello')\n",
        "tests/test_main.py": "assert True\n",
        **(files or {}),
    }
    write_files(place, contents)
    return place


def add_custom(
    where: project.Project,
    script: str,
    name: str = "com.example.Custom",
    *,
    archive: str | None = "model.zip",
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Add a component whose `build.py` is its custom build command and return its folder."""
    command = ["python3", "build.py"]
    build = {"build_system": "custom", "custom_build_command": command, **(extra or {})}
    place = where.components_dir / name
    contents = {
        "gdk-config.json": config_text(name, build),
        "recipe.yaml": recipe_text(archive),
        "build.py": script,
    }
    write_files(place, contents)
    return place


def write_files(folder: Path, contents: Mapping[str, str]) -> None:
    """Write files by their paths in a folder."""
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of every file under a folder by its path there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
