"""Checks of everything a component declares, all of it in one go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from verge.fleet import build, dependencies, files, gdk, recipes, releases
from verge.fleet.errors import FleetError
from verge.fleet.project import Project
from verge.recipe import portability

ERROR = "error"
WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or that keeps a component from running everywhere."""

    component: str
    severity: str
    """`error` or `warning`."""
    message: str
    """One sentence that begins with the place."""
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.severity}: {self.message}"


def validate_components(project: Project, names: Iterable[str] = ()) -> list[Finding]:
    """Check the components named (none named: all) and return what was found, errors first.

    Errors: a configuration or recipe that cannot be read or built, an artifact that the recipe
    names and no build gives, and dependencies that are missing, that form a cycle, or whose range
    the version in this repository does not satisfy. Warnings: what Greengrass Lite cannot run.
    """
    check = _Check(project)
    check.run()
    chosen = {check.resolve(name) for name in names}
    found = [item for item in check.findings if not chosen or item.component in chosen]
    return sorted(found, key=lambda item: (item.severity != ERROR, item.component))


class _Check:
    """One pass over all components."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.findings: list[Finding] = []
        self.configs: list[gdk.Config] = []
        self.sources: dict[str, tuple[gdk.Config, recipes.Source]] = {}

    def run(self) -> None:
        for folder in self.project.folders():
            try:
                config = gdk.load_config(self.project, folder)
            except FleetError as error:
                self._add(folder.name, ERROR, error.message, error.hint)
                continue
            self._add_twin(config)
            self.configs.append(config)
            self._read(config)
        self._check_dependencies()

    def resolve(self, name: str) -> str:
        """Return the name that findings have for a component named by itself or by its folder."""
        for config in self.configs:
            if name in (config.name, config.folder.name):
                return config.name
        if name in {folder.name for folder in self.project.folders()}:
            return name
        raise build.unknown(name, [config.name for config in self.configs])

    def _add(self, component: str, severity: str, message: str, hint: str | None = None) -> None:
        self.findings.append(Finding(component, severity, message, hint))

    def _add_twin(self, config: gdk.Config) -> None:
        for other in self.configs:
            if other.name == config.name:
                reason = f"{config.name} is the name of another component, see {other.place}"
                self._add(config.name, ERROR, f"{config.place}: component: {reason}")

    def _read(self, config: gdk.Config) -> None:
        try:
            source = recipes.load_source(self.project, config)
            self.sources[config.name] = config, source
            if config.build_system == "zip":
                recipes.transform(source, config, {config.archive})
            elif config.output.is_dir():
                with files.explained("read", config.output):
                    recipes.check_output(self.project, config)
        except FleetError as error:
            self._add(config.name, ERROR, error.message, error.hint)
            return
        for problem in portability.portability_problems(source.recipe, source=source.place):
            self._add(config.name, WARNING, str(problem))

    def _check_dependencies(self) -> None:
        """Check what the recipes that could be read ask of one another."""
        found = {name: source.recipe for name, (_, source) in self.sources.items()}
        memory = releases.Releases(self.project)
        available = {config.name: memory.expected(config) for config in self.configs}
        for problem in dependencies.find_problems(found, available):
            place = self.sources[problem.component][1].place
            message = f"{place}: {problem.path}: {problem.reason}"
            self._add(problem.component, ERROR, message, problem.hint)
