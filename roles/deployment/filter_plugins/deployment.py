"""What of a release a device needs, and whether the release has it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

try:
    from verge.recipe import errors, loading, versions
except ImportError:
    # Ansible runs outside of the project's own commands too, and versions must mean the same.
    sys.path.append(str(Path(__file__).resolve().parents[3] / "src"))
    from verge.recipe import errors, loading, versions

INDEX = "bundle.json"
PROVIDED_PREFIX = "aws.greengrass."
"""Components of that name come with the nucleus, so a release need not hold them."""


class RefusalError(Exception):
    """The bundle cannot satisfy a wish; the message names component, file and next step."""


def deployment_release(bundle: str, components: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the bundle is needed to run `components` with all they depend on.

    The result has `files` ({file, sha256}, relative to the bundle), `recipes` (file name → text)
    and `versions` (component → version). Where the bundle cannot satisfy a requirement, `refusal`
    says so, else it is empty. It is a value because Ansible buries the message of an exception in
    a description of the expression.
    """
    nothing: dict[str, Any] = {"files": [], "recipes": {}, "versions": {}, "refusal": ""}
    if not components:
        return nothing
    try:
        return {**nothing, **_choose(Path(bundle), components)}
    except RefusalError as refusal:
        return {**nothing, "refusal": str(refusal)}


def _choose(folder: Path, components: Mapping[str, Any]) -> dict[str, Any]:
    held = _read_index(folder)
    for name, wish in components.items():
        _check_requirement(folder, held, name, wish or {})
    files, recipes, chosen = [], {}, {}
    pending = [(name, "") for name in sorted(components)]
    while pending:
        name, needed_by = pending.pop(0)
        if name in chosen or (name not in held and name.startswith(PROVIDED_PREFIX)):
            continue
        if name not in held:
            raise _refuse(name, f"{needed_by} depends on it and {folder / INDEX} does not hold it")
        entry = held[name]
        chosen[name] = entry["version"]
        text, dependencies = _read_recipe(folder, name, entry["recipe"])
        recipes[Path(entry["recipe"]).name] = text
        digest = hashlib.sha256(text.encode()).hexdigest()
        files.append({"file": entry["recipe"], "sha256": digest})
        files += [
            {
                "file": f"artifacts/{name}/{entry['version']}/{artifact['file']}",
                "sha256": artifact["sha256"],
            }
            for artifact in entry["artifacts"]
        ]
        pending += [(dependency, name) for dependency in dependencies]
    return {"files": files, "recipes": recipes, "versions": chosen}


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        components: dict[str, Any] = document["components"]
        for entry in components.values():
            _ = entry["version"], entry["recipe"], [a["sha256"] for a in entry["artifacts"]]
    except FileNotFoundError:
        raise RefusalError(
            f"cannot deploy: {folder / INDEX} does not exist; run `inv bundle`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusalError(
            f"cannot deploy: {folder / INDEX} cannot be understood ({error}); run `inv bundle`"
        ) from None
    return components


def _check_requirement(
    folder: Path, held: Mapping[str, Any], name: str, wish: Mapping[str, Any]
) -> None:
    requirement = str(wish.get("version", "*"))
    if name not in held:
        known = ", ".join(sorted(held)) or "nothing"
        raise _refuse(
            name,
            f"deployment_components names it and {folder / INDEX} holds only {known}; "
            "correct the name, or add the component and run `inv bundle`",
        )
    try:
        met = versions.Requirement.parse(requirement).allows(held[name]["version"])
    except errors.RequirementError as error:
        raise _refuse(name, f"deployment_components/{name}/version: {error}") from None
    if not met:
        raise _refuse(
            name,
            f"deployment_components asks for {requirement} and {folder / INDEX} holds "
            f"{held[name]['version']}; change the requirement, or the component and run "
            "`inv bundle`",
        )


def _read_recipe(folder: Path, name: str, relative: str) -> tuple[str, list[str]]:
    try:
        text = (folder / relative).read_bytes().decode()
        recipe = loading.parse_recipe(text, source=str(folder / relative))
    except (OSError, UnicodeDecodeError, errors.RecipeError) as error:
        raise _refuse(name, f"{error}; run `inv bundle`") from None
    return text, sorted(recipe.dependencies)


def _refuse(name: str, reason: str) -> RefusalError:
    return RefusalError(f"cannot deploy {name}: {reason}")


class FilterModule:
    """The filters of the role."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"deployment_release": deployment_release}
