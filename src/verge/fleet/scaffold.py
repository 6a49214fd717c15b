"""New components from the template in `components/_template`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from verge.fleet import files, gdk, inputs
from verge.fleet.errors import FleetError
from verge.fleet.project import BUILD_NAME, Project

TEMPLATE = "com.example.Template"
"""The name in the template, in files and in names of files, that becomes the new one."""


def create_component(project: Project, name: str) -> Path:
    """Copy the template to `components/<name>`, put the name in, and return the new folder.

    It appears whole or not at all. Refused: a name Greengrass does not take (contract 1.2), and one
    that is taken.
    """
    _check_name(project, name)
    if not project.template_dir.is_dir():
        raise FleetError(f"cannot create {name}: there is no {project.template_dir}")
    target = project.components_dir / name
    with (
        files.held(project.build_dir, "new component"),
        files.staging(project.build_dir) as scratch,
        files.explained("write", target),
    ):
        place = scratch / "component"
        for entry in inputs.walk(os.fspath(project.template_dir)):
            _copy(Path(entry.path), project.template_dir, place, name)
        if target.exists():
            raise _taken(project, target)
        place.rename(target)
    return target


def _check_name(project: Project, name: str) -> None:
    if not gdk.NAME.fullmatch(name):
        raise FleetError(
            f"cannot create {name!r}: a component is named with up to 128 letters, digits, "
            "dots, dashes and underscores, as in com.example.Counter"
        )
    if name[0] in "._":
        raise FleetError(
            f"cannot create {name!r}: folders whose names begin with {name[0]} are no components"
        )
    for folder in project.folders():
        if folder.name.casefold() == name.casefold():
            raise _taken(project, folder)


def _taken(project: Project, folder: Path) -> FleetError:
    return FleetError(
        f"cannot create {folder.name}: {project.relative(folder)} exists",
        "choose another name, or remove that folder first",
    )


def _copy(source: Path, template: Path, place: Path, name: str) -> None:
    relative = source.relative_to(template)
    if relative.parts[0] == BUILD_NAME or any(
        part in inputs.NEVER or part.endswith("_cache") for part in relative.parts
    ):
        return
    target = place / relative.as_posix().replace(TEMPLATE, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    content = source.read_bytes()
    target.write_bytes(content.replace(TEMPLATE.encode(), name.encode()))
    shutil.copymode(source, target)
