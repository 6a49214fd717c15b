"""Where recipes come from: the directory of a local deployment and the device's own store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from verge.nucleus import errors, logs, paths
from verge.nucleus.deployment import failures, offers, resolution
from verge.nucleus.store import state
from verge.recipe import errors as recipe_errors
from verge.recipe import loading, model, versions

log = logs.Logger("deployment")

MAX_FILES = 10_000


@dataclass(frozen=True)
class Found:
    """A recipe with its canonical text."""

    recipe: model.Recipe
    text: str

    @classmethod
    def of(cls, recipe: model.Recipe) -> Found:
        """Return a recipe with its text."""
        return cls(recipe, loading.dump_recipe(recipe))


Recipes = Mapping[str, Mapping[versions.Version, Found]]


def read_directory(directory: Path) -> dict[str, dict[versions.Version, Found]]:
    """Return all recipes below a directory by name and version.

    Raises RecipeError for a file that is no recipe and DeploymentError for a version that two
    files define; both name the files.
    """
    found: dict[str, dict[versions.Version, Found]] = {}
    origin: dict[tuple[str, versions.Version], Path] = {}
    files = sorted(p for p in directory.rglob("*") if p.suffix.lower() in loading.SUFFIXES)
    if len(files) > MAX_FILES:
        raise failures.DeploymentError(
            f"cannot read recipes from {directory}: it holds {len(files)} files, {MAX_FILES} is "
            "the most; name the directory that holds only recipes",
            "RECIPE_PARSE_ERROR",
        )
    for file in files:
        if not file.is_file():
            continue
        recipe = loading.load_recipe(file)
        key = (recipe.name, versions.Version.parse(recipe.version))
        if key in origin:
            raise failures.DeploymentError(
                f"cannot choose a recipe for {recipe.name} {recipe.version}: both {origin[key]} "
                f"and {file} define it; remove one",
                "RECIPE_PARSE_ERROR",
            )
        origin[key] = file
        found.setdefault(key[0], {})[key[1]] = Found.of(recipe)
    return found


class Catalogue:
    """All recipes at hand: the given ones win over those in the store."""

    def __init__(
        self,
        given: Recipes,
        device: state.DeviceState,
        stored: Mapping[str, Iterable[str]],
        where: paths.Paths,
        offers: offers.Offers | None = None,
    ) -> None:
        self.given = given
        self._device = device
        self._stored = stored
        self._paths = where
        self._offers = offers
        self._offered: set[tuple[str, versions.Version]] = set()
        self._known: dict[str, dict[versions.Version, Found]] = {}

    def recipes_of(self, name: str) -> Mapping[versions.Version, Found]:
        """Return the recipes of a component by version."""
        if name not in self._known:
            self._known[name] = self._collect(name)
        return self._known[name]

    def candidates(
        self, name: str, requesters: Mapping[str, str]
    ) -> Iterable[resolution.Candidate]:
        """Return the versions of a component as the resolver needs them (contract 3.5).

        A deployment of the cloud takes what the cloud offers, and what is on the device only
        where the cloud has no answer; a local one asks the cloud only for what is not here.
        """
        found = self.recipes_of(name)
        if self._offers:
            fitting = self._fitting(name, requesters)
            if self._offers.first or fitting is None:
                recipe = self._offers.ask(name, requesters, fitting)
                if recipe:
                    version = versions.Version.parse(recipe.version)
                    found = {version: Found.of(recipe)}
                    self._known[name] = {**self._known[name], **found}
                    self._offered.add((name, version))
        for version, one in found.items():
            dependencies = one.recipe.dependencies.items()
            yield resolution.Candidate(version, {dep: d.requirement for dep, d in dependencies})

    def was_offered(self, name: str, version: versions.Version) -> bool:
        """Return whether the recipe of a version came from the cloud."""
        return (name, version) in self._offered

    def _fitting(self, name: str, requesters: Mapping[str, str]) -> versions.Version | None:
        """Return the version on the device that suits all: the active one, else the highest."""
        wanted = [versions.Requirement.parse(what) for what in requesters.values()]
        fitting = [v for v in self.recipes_of(name) if all(one.allows(v) for one in wanted)]
        active = self._device.components.get(name)
        if active and (present := versions.Version.parse(active.version)) in fitting:
            return present
        return max(fitting, default=None)

    def pin(self, name: str, requirement: str) -> str:
        """Return the exact version a requirement of a root means.

        That is the highest in the recipe directory; without one there, the active version if it
        satisfies, else the highest in the store. What nothing satisfies stays as it is, for the
        resolver to complain.
        """
        wanted = versions.Requirement.parse(requirement)
        given = versions.highest(self.given.get(name, ()), wanted)
        if given:
            return str(given)
        active = self._device.components.get(name)
        if active and wanted.allows(active.version):
            return active.version
        return str(versions.highest(self.recipes_of(name), wanted) or requirement)

    def _collect(self, name: str) -> dict[versions.Version, Found]:
        found: dict[versions.Version, Found] = {}
        for text in self._stored.get(name, ()):
            if recipe := self._read_stored(name, text):
                found[versions.Version.parse(text)] = recipe
        if active := self._device.components.get(name):
            recipe = _parse(active.recipe_text, f"stored recipe of {name} {active.version}")
            if recipe:
                found[versions.Version.parse(active.version)] = recipe
        return found | dict(self.given.get(name, {}))

    def _read_stored(self, name: str, version: str) -> Found | None:
        file = self._paths.recipe(name, version)
        try:
            return _parse(file.read_text(encoding="utf-8"), str(file))
        except (OSError, UnicodeDecodeError) as error:
            log.warning("Stored recipe skipped", file=file, reason=error)
            return None


def _parse(text: str, source: str) -> Found | None:
    try:
        return Found(loading.parse_recipe(text, source=source), text)
    except (recipe_errors.RecipeError, errors.NucleusError) as error:
        log.warning("Stored recipe skipped", file=source, reason=error)
        return None
