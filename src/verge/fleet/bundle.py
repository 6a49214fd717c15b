"""The release as a folder: recipes with versions and digests, artifacts, and `bundle.json`.

A bundle is what reaches devices without a cloud. Its recipes are what a Greengrass cloud would hand
out: a version instead of NEXT_PATCH, and a digest for every artifact (Greengrass contract 1.6).
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verge.fleet import build, files, inputs
from verge.fleet.errors import FleetError
from verge.fleet.project import Project
from verge.fleet.stamps import Stamps

if TYPE_CHECKING:
    from verge.fleet import gdk

FORMAT = 1
INDEX = "bundle.json"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk."""

    path: Path
    document: dict[str, Any]
    """`bundle.json`: per component `version`, `identity`, `recipe` and `artifacts`."""
    new_versions: dict[str, str]
    """The versions that this run gave out, by component."""

    @property
    def versions(self) -> dict[str, str]:
        """The version of each component."""
        return {name: item["version"] for name, item in self.document["components"].items()}


def build_bundle(project: Project, *, report: files.Report = files.silent) -> Bundle:
    """Build what changed and bring `.verge/bundle` up to date with it.

    Versions follow from content (`verge.fleet.releases`). The bundle is replaced in one step; where
    it is as it should be, nothing is written. Refused: dependencies that the bundle cannot satisfy,
    a fixed version whose content changed, an artifact that no build here gives.
    """
    with files.held(project.build_dir, "bundle", report):
        return _Bundling(project, report).run()


class _Bundling:
    """One bundling under the lock."""

    def __init__(self, project: Project, report: files.Report) -> None:
        self.project = project
        self.report = report
        self.cache = project.build_dir / "bundle.json"
        self.state = files.read_state(self.cache)

    def run(self) -> Bundle:
        from verge.fleet import releases

        results = build.run_build(self.project, report=self.report)
        configs = {config.name: config for config in build.load_configs(self.project)}
        memory = releases.Releases(self.project)
        document: dict[str, Any] = {"format": FORMAT, "components": {}}
        for result in results:
            version = memory.assign(configs[result.name], content_of(result))
            document["components"][result.name] = _entry(result, version)
        bundle = Bundle(self.project.bundle_dir, document, memory.new)
        if not self._is_current(document):
            self.report(f"Bundling {len(results)} components")
            self._write(bundle, results, configs, memory)
        return bundle

    def _is_current(self, document: dict[str, Any]) -> bool:
        if self.state.get("document") != document:
            return False
        stamps = Stamps(self.state.get("stamps"))
        found = _digests(self.project.bundle_dir, stamps)
        if found != self.state.get("files"):
            return False
        if stamps.dirty:
            self._remember(document, found, stamps)
        return True

    def _remember(self, document: dict[str, Any], found: dict[str, str], stamps: Stamps) -> None:
        state = {"document": document, "files": found, "stamps": stamps.current}
        files.write_json(self.cache, state)

    def _write(
        self,
        bundle: Bundle,
        results: list[build.BuildResult],
        configs: dict[str, gdk.Config],
        memory: Any,
    ) -> None:
        with files.staging(self.project.build_dir) as scratch:
            place = scratch / "bundle"
            with files.explained("write", place):
                (place / "recipes").mkdir(parents=True)
                for result in results:
                    entry = bundle.document["components"][result.name]
                    _stage(self.project, place, result, configs[result.name], entry)
            self._check(place, bundle)
            files.write_json(place / INDEX, bundle.document, indent=2)
            build.set_modes(place)
            # Remembered first: a version that was given out must never get other content.
            memory.save()
            files.put_folder(place, self.project.bundle_dir)
        stamps = Stamps()
        found = _digests(self.project.bundle_dir, stamps)
        self._remember(bundle.document, found, stamps)

    def _check(self, place: Path, bundle: Bundle) -> None:
        from verge.fleet import dependencies
        from verge.recipe import loading

        recipes = {
            name: loading.load_recipe(place / entry["recipe"])
            for name, entry in bundle.document["components"].items()
        }
        for problem in dependencies.find_problems(recipes, bundle.versions):
            raise FleetError(f"cannot bundle {problem.component}: {problem.reason}", problem.hint)


def content_of(result: build.BuildResult) -> str:
    """Return the digest (SHA-256, hex) of recipe and artifacts: what a version stands for."""
    lines = [f"recipe {result.recipe.sha256}"]
    lines += [f"artifact {item.sha256} {item.path.name}" for item in result.artifacts]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _entry(result: build.BuildResult, version: str) -> dict[str, Any]:
    return {
        "version": version,
        "identity": result.identity,
        "recipe": f"recipes/{result.name}-{version}.yaml",
        "artifacts": [
            {
                "file": item.path.name,
                "sha256": item.sha256,
                "size": item.path.stat().st_size,
            }
            for item in result.artifacts
        ],
    }


def _stage(
    project: Project,
    place: Path,
    result: build.BuildResult,
    config: gdk.Config,
    entry: dict[str, Any],
) -> None:
    from verge.fleet import recipes

    source = recipes.read_source(result.recipe.path, project.relative(result.recipe.path), config)
    digests = {
        item["file"]: base64.b64encode(bytes.fromhex(item["sha256"])).decode()
        for item in entry["artifacts"]
    }
    text = recipes.release(source, config, entry["version"], digests)
    (place / entry["recipe"]).write_bytes(text)
    folder = place / "artifacts" / result.name / entry["version"]
    if result.artifacts:
        folder.mkdir(parents=True)
    for item in result.artifacts:
        shutil.copyfile(item.path, folder / item.path.name)


def _digests(folder: Path, stamps: Stamps) -> dict[str, str]:
    base = os.fspath(folder)
    return {
        os.path.relpath(entry.path, base): stamps.digest(
            entry.path, entry.stat(follow_symlinks=False)
        )
        for entry in inputs.walk(base)
    }
