"""A release out of a component's source directory, for `verge-nucleus run`."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from verge.nucleus import settings
from verge.nucleus.commands import connection
from verge.nucleus.deployment import target
from verge.recipe import errors, loading, model, platforms

VERSION = "1.0.0"
"""The version of whatever is tried out; none is used up, because content tells changes apart."""

RECIPES = ("recipe.yaml", "recipe.yml", "recipe.json")

_LEFT_OUT = frozenset({"gdk-config.json", "greengrass-build", "zip-build", "__pycache__", "tests"})


class Workbench:
    """A component directory, those of its dependencies beside it, and the release made of them."""

    def __init__(self, directory: Path, release: Path) -> None:
        self._directory = directory.resolve()
        self._recipes = release / "recipes"
        self._artifacts = release / "artifacts"
        self.name = self._read(self._directory).name

    @property
    def recipes(self) -> Path:
        """The recipe directory of the release."""
        return self._recipes

    @property
    def artifacts(self) -> Path:
        """The artifact directory of the release."""
        return self._artifacts

    def build(self) -> list[Path]:
        """Make the release anew; return the directories it is made of. Raises CommandError."""
        for made in (self._recipes, self._artifacts):
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True)
        used: dict[str, Path] = {}
        pending = [self._directory]
        while pending:
            directory = pending.pop()
            recipe = self._read(directory)
            if recipe.name not in used:
                used[recipe.name] = directory
                pending += self._add(recipe, directory)
        return list(used.values())

    def _add(self, recipe: model.Recipe, directory: Path) -> Iterator[Path]:
        """Add a component; yield the directories of its dependencies."""
        document = loading.to_document(recipe)
        for name, dependency in recipe.dependencies.items():
            beside = directory.parent / name
            if name in target.BUILT_IN:
                continue
            if any((beside / file).is_file() for file in RECIPES):
                yield beside
            elif dependency.type is model.DependencyType.SOFT:
                del document["ComponentDependencies"][name]
            else:
                raise connection.CommandError(
                    f"cannot run {recipe.name}: it depends on {name}, and there is no {beside}; "
                    "put that component's directory there or make the dependency SOFT"
                )
        for manifest in document["Manifests"]:
            for artifact in manifest.get("Artifacts", ()):
                artifact.pop("Digest", None)
                artifact.pop("Algorithm", None)
        (self._recipes / f"{recipe.name}.json").write_text(json.dumps(document))
        chosen = platforms.select_manifest(recipe, platforms.detect_platform())
        for each in chosen.artifacts if chosen else ():
            self._pack(each, directory, self._artifacts / recipe.name / recipe.version)

    def _pack(self, artifact: model.Artifact, directory: Path, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        made = place / artifact.file_name
        present = directory / artifact.file_name
        if present.is_file():
            shutil.copyfile(present, made)
        elif artifact.unarchive is model.Unarchive.ZIP:
            with zipfile.ZipFile(made, "w") as archive:
                for file in _files(directory):
                    archive.write(file, file.relative_to(directory))
        else:
            raise connection.CommandError(
                f"cannot find {artifact.file_name}, which the recipe names, in {directory}; put it "
                "there"
            )

    def _read(self, directory: Path) -> model.Recipe:
        file = next((directory / n for n in RECIPES if (directory / n).is_file()), None)
        if file is None:
            raise connection.CommandError(
                f"cannot run {directory}: there is no {RECIPES[0]} in it; name the directory of a "
                "component"
            )
        try:
            text = file.read_text(encoding="utf-8")
            text = text.replace("{COMPONENT_VERSION}", VERSION)
            text = text.replace("{COMPONENT_NAME}", _name(directory))
            recipe = loading.parse_recipe(text, source=str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise connection.CommandError(f"cannot read {file}: {error}") from None
        except errors.RecipeError as error:
            raise connection.CommandError(str(error)) from None
        if recipe.name == settings.NUCLEUS:
            raise connection.CommandError(f"cannot run {recipe.name}: it is the nucleus itself")
        return recipe


def _name(directory: Path) -> str:
    """Return the component's name as its GDK project states it, or the directory's."""
    try:
        document = json.loads((directory / "gdk-config.json").read_text(encoding="utf-8"))
        return str(next(iter(document["component"])))
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return directory.name


def _files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path.name in _LEFT_OUT or path.name in RECIPES or path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path
