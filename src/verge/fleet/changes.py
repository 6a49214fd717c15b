"""Which components differ from a git revision: what CI has to build, test and publish."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from verge.fleet import build, gdk, inputs, recipes
from verge.fleet.errors import FleetError
from verge.fleet.project import SHARED_NAME, Project
from verge.recipe import graph


def changed_components(project: Project, *, since: str) -> list[str]:
    """Return the names of the components that differ from a revision, and all that depend on them.

    Content decides, not commits: the working tree, files that are not committed included, is
    compared with the tree of the revision, however many commits lie between. A component is changed
    if an input of its build is (`verge.fleet.inputs`), so its tests alone do not count; a change
    under `components/_shared` counts for the components that use it. A component that depends on
    one that is gone counts as changed, too.
    """
    paths = _differing_paths(project, since)
    configs = build.load_configs(project)
    folders = {config.folder.name for config in configs}
    changed = {config.name for config in configs if _Use(project, config).touched(paths)}
    sources = {config.name: recipes.load_source(project, config) for config in configs}
    needs = {name: set(source.recipe.dependencies) for name, source in sources.items()}
    gone = {path.folder for path in paths} - folders
    return sorted(changed | (graph.dependants(needs, changed | gone) & needs.keys()))


@dataclass(frozen=True)
class _Path:
    """A path in the project; under `components/` also the folder there, and the rest."""

    whole: str
    folder: str = ""
    rest: str = ""


def _differing_paths(project: Project, since: str) -> list[_Path]:
    revision = f"{since}^{{commit}}"
    _git(project, since, "rev-parse", "--verify", "--quiet", "--end-of-options", revision)
    compare = ["diff", "--name-only", "--no-renames", "--no-ext-diff", "--relative", "-z"]
    answer = _git(project, since, *compare, since, "--", ".")
    answer += _git(project, since, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    return [_path(project, name) for name in os.fsdecode(answer).split("\0") if name]


def _path(project: Project, name: str) -> _Path:
    components = f"{project.components_dir.relative_to(project.root)}/"
    if not name.startswith(components):
        return _Path(name)
    folder, _, rest = name.removeprefix(components).partition("/")
    return _Path(name, folder, rest)


def _git(project: Project, since: str, *arguments: str) -> bytes:
    command = ["git", "-C", os.fspath(project.root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except OSError as error:
        raise FleetError(
            f"cannot compare with {since!r}: cannot run git: {error.strerror}", "install git"
        ) from error
    except subprocess.CalledProcessError as error:
        said = os.fsdecode(error.stderr).strip().splitlines()
        reason = said[0] if said else "git knows no such revision"
        raise FleetError(
            f"cannot compare with {since!r}: {reason}",
            "name a commit, a branch or a tag that this clone has (`git fetch` brings more)",
        ) from error


class _Use:
    """What of a revision's differences one component is built from."""

    def __init__(self, project: Project, config: gdk.Config) -> None:
        self.config = config
        self.skip = inputs.skip_for(config, frozenset())
        self.links = inputs.find_links(project, config)

    def touched(self, paths: list[_Path]) -> bool:
        return any(self._uses(path) for path in paths)

    def _uses(self, path: _Path) -> bool:
        if path.folder == self.config.folder.name:
            return path.rest in inputs.DECLARATIONS or not self._left_out(path.rest)
        if path.folder == SHARED_NAME and self.config.uses_shared:
            return True
        return any(path.whole == link or path.whole.startswith(link + "/") for link in self.links)

    def _left_out(self, rest: str) -> bool:
        parts = rest.split("/")
        return any(
            self.skip("/".join(parts[:count]), "", count < len(parts))
            for count in range(1, len(parts) + 1)
        )
