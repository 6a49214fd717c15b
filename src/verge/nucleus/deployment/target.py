"""From a request to the device state it asks for."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from verge.nucleus import logs, settings, threads
from verge.nucleus.deployment import (
    configuration,
    documents,
    failures,
    offers,
    remote,
    resolution,
    roots,
    sources,
)
from verge.nucleus.ipc import host
from verge.nucleus.store import composition, packages, state, tree
from verge.recipe import interpolation, lifecycle, model, platforms, versions

TOKEN_EXCHANGE = "aws.greengrass.TokenExchangeService"  # noqa: S105 - a component's name

BUILT_IN: Mapping[str, versions.Version] = {
    settings.NUCLEUS: versions.Version.parse(settings.VERSION),
    TOKEN_EXCHANGE: versions.Version.parse("2.0.3"),
    settings.CLI: versions.Version.parse(settings.VERSION),
}
"""Components that the nucleus is itself; they may be depended on and need no recipe."""

_ADD = "add its recipe to the recipe directory"
_PUBLISH = "publish one that fits, or correct the deployment"

log = logs.Logger("deployment")


@dataclass(frozen=True)
class Chosen:
    """A component version of the target, with its part for this platform and its content."""

    recipe: model.Recipe
    recipe_text: str
    manifest: model.Manifest
    content: str
    package: composition.Package | None = None
    """None where the content in force is kept."""


@dataclass(frozen=True)
class Origin:
    """Where a request comes from, and whom to ask; nothing of it: a local one without cloud."""

    fleet: documents.Fleet | None = None
    members: Collection[str] | None = None
    """The thing groups that the device is in; None: it is in all that it knows."""
    cloud: remote.Cloud | None = None
    stop: threads.Stop = field(default_factory=threads.Stop)


LOCAL = Origin()


Missing = tuple[model.Recipe, composition.Package]


@dataclass(frozen=True)
class Selection:
    """What a request comes to: components, artifacts and roots, but no configuration yet."""

    request: host.LocalDeployment
    created: float
    chosen: Mapping[str, Chosen]
    roots: Mapping[str, Mapping[str, str]]
    clears: bool = False
    """Whether users and limits that the request leaves out go (contract 3.2)."""

    @property
    def packages(self) -> list[composition.Package]:
        """The packages that have to be in the store."""
        return [one.package for one in self.chosen.values() if one.package]

    @property
    def missing(self) -> list[Missing]:
        """The packages with artifacts that are yet to be fetched."""
        return [
            (one.recipe, one.package)
            for one in self.chosen.values()
            if one.package and any(source.file is None for source in one.package.sources)
        ]


class Selector:
    """Chooses components for requests."""

    def __init__(
        self,
        configured: settings.Settings,
        store: packages.PackageStore,
    ) -> None:
        self._settings = configured
        self._store = store
        self._platform = platforms.detect_platform(override=configured.platform_override)

    def select(
        self,
        request: host.LocalDeployment,
        device: state.DeviceState,
        stored: Mapping[str, Iterable[str]],
        created: float,
        origin: Origin = LOCAL,
        *,
        planned: bool = False,
    ) -> Selection:
        """Read, resolve and locate everything. Writes nothing; may run in any thread.

        With `planned`, artifacts may still be on their way (see `PackageStore.locate`). With a
        cloud, it is asked for versions and may take long.

        `stored` names the versions of every component in the store.

        Raises what `failures.EXPECTED` lists.
        """
        given = (
            sources.read_directory(Path(request.recipe_directory))
            if request.recipe_directory
            else {}
        )
        asked = (
            offers.Offers(origin.cloud, self._platform, origin.stop, first=origin.fleet is not None)
            if origin.cloud
            else None
        )
        catalogue = sources.Catalogue(given, device, stored, self._settings.paths, asked)
        wanted = (
            roots.of_fleet(request, device, origin.fleet, origin.members, BUILT_IN)
            if origin.fleet
            else roots.of_local(request, device, catalogue)
        )
        resolved = resolution.resolve(
            resolution.Request(
                roots=wanted,
                candidates=catalogue.candidates,
                active={
                    name: versions.Version.parse(installed.version)
                    for name, installed in device.components.items()
                },
                built_in=BUILT_IN,
                remedy=_PUBLISH if origin.fleet else _ADD,
            )
        )
        if origin.fleet is None:
            _check_configured(request, resolved)
        chosen = {
            name: self._choose(
                catalogue.recipes_of(name)[version],
                device.components.get(name),
                request,
                was_given=version in given.get(name, {}),
                planned=planned,
                was_offered=catalogue.was_offered(name, version),
            )
            for name, version in resolved.items()
        }
        pinned = roots.pinned(wanted, resolved)
        return Selection(request, created, chosen, pinned, clears=origin.fleet is not None)

    def _choose(
        self,
        found: sources.Found,
        active: state.Installed | None,
        request: host.LocalDeployment,
        *,
        was_given: bool,
        planned: bool,
        was_offered: bool,
    ) -> Chosen:
        recipe = found.recipe
        manifest = platforms.select_manifest(recipe, self._platform)
        if manifest is None:
            raise _wrong_platform(recipe, self._platform)
        if was_offered:
            package = self._store.expect(recipe.name, recipe.version, manifest.artifacts)
            return Chosen(recipe, found.text, manifest, package.content, package)
        directory = Path(request.artifact_directory) if request.artifact_directory else None
        has_files = directory is not None and (directory / recipe.name / recipe.version).is_dir()
        kept = active is not None and active.version == recipe.version
        if active and kept and not was_given and not has_files and self._store.has(active.content):
            return Chosen(recipe, found.text, manifest, active.content)
        package = self._store.locate(
            recipe.name, recipe.version, manifest.artifacts, directory, planned=planned
        )
        return Chosen(recipe, found.text, manifest, package.content, package)

    def compose(self, selection: Selection, device: state.DeviceState) -> state.DeviceState:
        """Return the state that a selection asks for, from what the device is now."""
        defaults = {name: self._settings.defaults.get(name, {}) for name in settings.OWN}
        trees = {
            name: configuration.compute(
                device.configuration.get(name, {}),
                given,
                selection.request.configuration.get(name),
                selection.created,
            )
            for name, given in (
                *defaults.items(),
                *((n, one.recipe.default_configuration) for n, one in selection.chosen.items()),
            )
        }
        own = {name: tree.plain(trees[name]) for name in settings.OWN}
        wanted = self._settings.configured(own)
        root = str(self._settings.paths.root)
        values = {
            name: interpolation.ComponentValues.under(
                root, name, one.recipe.version, tree.plain(trees[name])
            )
            for name, one in selection.chosen.items()
        }
        if wanted.interpolate_configuration:
            for name, one in selection.chosen.items():
                lookup = self._lookup(one, values, system_only=True)
                trees[name] = tree.map_text(
                    trees[name], functools.partial(interpolation.interpolate, lookup=lookup)
                )
        return state.DeviceState(
            components={
                name: self._compose_component(one, selection, device, values)
                for name, one in selection.chosen.items()
            },
            configuration=trees,
            roots=selection.roots,
        )

    def _lookup(
        self,
        one: Chosen,
        values: Mapping[str, interpolation.ComponentValues],
        *,
        system_only: bool = False,
    ) -> interpolation.Namespace:
        return interpolation.Namespace(
            values[one.recipe.name],
            {dep: values[dep] for dep in one.recipe.dependencies if dep in values},
            root_path=str(self._settings.paths.root),
            thing_name=self._settings.thing_name,
            system_only=system_only,
        )

    def _compose_component(
        self,
        one: Chosen,
        selection: Selection,
        device: state.DeviceState,
        values: Mapping[str, interpolation.ComponentValues],
    ) -> state.Installed:
        name = one.recipe.name
        lookup = self._lookup(one, values)

        def report(unresolved: interpolation.Unresolved) -> None:
            log.error(
                "Variable left in place",
                component=name,
                step=unresolved.path,
                variable=unresolved.placeholder,
                reason=unresolved.reason,
            )

        scripts = lifecycle.select_lifecycle(one.recipe, one.manifest)
        former = device.components.get(name)
        wanted = selection.request.run_with.get(name, host.RunWith())
        if selection.clears and name in selection.request.run_with:
            former = None  # its user and limits go unless they are asked for again
        return state.Installed(
            name=name,
            version=one.recipe.version,
            recipe_text=one.recipe_text,
            content=one.content,
            lifecycle=interpolation.interpolate_tree(scripts, lookup, report),
            dependencies={
                dep: d.type is model.DependencyType.HARD
                for dep, d in one.recipe.dependencies.items()
            },
            posix_user=wanted.posix_user or (former.posix_user if former else None),
            memory_kilobytes=wanted.memory_kilobytes
            or (former.memory_kilobytes if former else None),
            cpus=wanted.cpus or (former.cpus if former else None),
        )


def _check_configured(
    request: host.LocalDeployment, resolved: Mapping[str, versions.Version]
) -> None:
    configured = {*request.configuration} - {*settings.OWN}
    for name in sorted({*configured, *request.run_with} - set(resolved)):
        reason = "the device would not have it; deploy it too or leave it out"
        if name in BUILT_IN:
            reason = "it is part of the nucleus and has no configuration of its own; leave it out"
        raise failures.DeploymentError(
            f"cannot configure {name}: {reason}", "DEPLOYMENT_DOCUMENT_NOT_VALID"
        )


def _wrong_platform(recipe: model.Recipe, platform: Mapping[str, str]) -> failures.DeploymentError:
    attributes = ", ".join(f"{key} {value}" for key, value in platform.items())
    if not recipe.manifests:
        return failures.DeploymentError(
            f"cannot deploy {recipe.name} {recipe.version}: its recipe has no manifest",
            "RECIPE_MISSING_MANIFEST",
            "COMPONENT_RECIPE_ERROR",
        )
    return failures.DeploymentError(
        f"cannot deploy {recipe.name} {recipe.version} to this device: none of its manifests is "
        f"for {attributes}; add one to the recipe",
        "CURRENT_PLATFORM_NOT_SUPPORTED",
        "COMPONENT_RECIPE_ERROR",
    )
