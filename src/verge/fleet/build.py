"""Builds of components: GDK's layout, the same bytes anywhere, and nothing done twice.

What a component is built from has an identity (`verge.fleet.inputs`). A component is built when its
identity differs from that of its last build, or when its output is not what that build left.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verge.fleet import files, gdk, inputs
from verge.fleet.errors import FleetError
from verge.fleet.project import BUILD_NAME, Project
from verge.fleet.stamps import Stamps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BUILT = "built"
UNCHANGED = "unchanged"
LAST_LINES = 20
RECIPE_SUFFIXES = (".json", ".yaml", ".yml")


@dataclass(frozen=True)
class Artifact:
    """A file of the build output."""

    path: Path
    sha256: str
    """In hexadecimal digits."""


@dataclass(frozen=True)
class BuildResult:
    """What became of one component."""

    name: str
    outcome: str
    """`built` or `unchanged`."""
    identity: str
    """SHA-256 (hex) of all the component is built from."""
    seconds: float
    recipe: Artifact
    artifacts: tuple[Artifact, ...]


def build_components(
    project: Project, names: Iterable[str] = (), *, report: files.Report = files.silent
) -> list[BuildResult]:
    """Build what changed among the components named (none named: all) and return one result each.

    A name is that of the component or of its folder. Output goes to `greengrass-build/` of the
    component in GDK's layout (Greengrass contract 6.2) and is put there in one step, so a killed
    build leaves the former output. The exception is the build system `custom`, whose command writes
    there itself: after a kill its output counts as missing. One build runs at a time; a second
    waits and says for whom. The first component that cannot be built ends the build.
    """
    with files.held(project.build_dir, "build", report):
        return run_build(project, names, report=report)


def run_build(
    project: Project, names: Iterable[str] = (), *, report: files.Report = files.silent
) -> list[BuildResult]:
    """Do what `build_components` does for a caller that holds the lock of the build folder."""
    run = _Run(project, report)
    wanted = list(names)
    try:
        results = [run.component(config) for config in run.select(wanted)]
    except BaseException:
        run.save(complete=False)
        raise
    run.save(complete=not wanted)
    return results


def load_configs(project: Project) -> list[gdk.Config]:
    """Return the configuration of every component, in the order of their folders."""
    configs = [gdk.load_config(project, folder) for folder in project.folders()]
    places: dict[str, str] = {}
    for config in configs:
        if config.name in places:
            raise FleetError(
                f"{config.place}: component: {config.name} is the name of another component, "
                f"see {places[config.name]}"
            )
        places[config.name] = config.place
    return configs


def select(project: Project, names: Sequence[str]) -> list[gdk.Config]:
    """Return the configurations of the components named, by component or folder name."""
    if not names:
        return load_configs(project)
    folders = {folder.name: folder for folder in project.folders()}
    if all(name in folders for name in names):
        return [gdk.load_config(project, folders[name]) for name in dict.fromkeys(names)]
    known = {config.name: config for config in load_configs(project)}
    known |= {config.folder.name: config for config in known.values()}
    for name in names:
        if name not in known:
            raise unknown(name, known)
    return list({known[name].name: known[name] for name in names}.values())


def unknown(name: str, known: Iterable[str]) -> FleetError:
    """Return the error of a component that there is none of."""
    return FleetError(
        f"cannot find {name}: components/ has no component of that name",
        f"`./inv new {name}` makes one; there are: {', '.join(sorted(known)) or 'none'}",
    )


class _Run:
    """One build under the lock."""

    def __init__(self, project: Project, report: files.Report) -> None:
        self.project = project
        self.report = report
        self.cache = project.build_dir / "cache.json"
        state = files.read_state(self.cache)
        if state.get("format") != inputs.FORMAT:
            state = {}
        self.stamps = Stamps(state.get("stamps"))
        self.records: dict[str, dict[str, Any]] = state.get("components", {})
        self.changed = False
        self.ignored: frozenset[str] | None = None

    def select(self, names: list[str]) -> list[gdk.Config]:
        """Return what to build; a full build also forgets components that are gone."""
        configs = select(self.project, names)
        if not names:
            kept = {config.folder.name for config in configs}
            gone = self.records.keys() - kept
            self.changed = self.changed or bool(gone)
            self.records = {name: self.records[name] for name in self.records.keys() - gone}
        return configs

    def save(self, *, complete: bool) -> None:
        """Keep what was learnt, if anything was; a complete run forgets files that are gone."""
        if not (self.changed or self.stamps.dirty):
            return
        document = {
            "format": inputs.FORMAT,
            "components": self.records,
            "stamps": self.stamps.current if complete else self.stamps.merged(),
        }
        files.write_json(self.cache, document)
        self.changed = False

    def component(self, config: gdk.Config) -> BuildResult:
        """Build one component if it has to be."""
        started = time.perf_counter()
        found = inputs.scan(self.project, config, self.stamps, self._ignored(config))
        record = self.records.get(config.folder.name, {})
        outcome = UNCHANGED
        outputs = self._outputs(config)
        if record.get("identity") != found.identity or record.get("outputs") != outputs:
            outcome = BUILT
            self.report(f"Building {config.name}")
            self._build(config, found)
            outputs = self._outputs(config)
            self.records[config.folder.name] = {"identity": found.identity, "outputs": outputs}
            self.changed = True
        return BuildResult(
            name=config.name,
            outcome=outcome,
            identity=found.identity,
            seconds=time.perf_counter() - started,
            recipe=next(
                item
                for item in _files(config, outputs, "recipes")
                if item.path.suffix in RECIPE_SUFFIXES
            ),
            artifacts=_files(config, outputs, f"artifacts/{config.name}/{config.version}"),
        )

    def _ignored(self, config: gdk.Config) -> frozenset[str]:
        if config.build_system != "custom":
            return frozenset()
        if self.ignored is None:
            self.ignored = inputs.ignored_by_git(self.project)
        return self.ignored

    def _outputs(self, config: gdk.Config) -> dict[str, str]:
        base = os.fspath(config.output)
        return {
            os.path.relpath(entry.path, base): self.stamps.digest(
                entry.path, entry.stat(follow_symlinks=False)
            )
            for entry in inputs.walk(base)
        }

    def _build(self, config: gdk.Config, found: inputs.Inputs) -> None:
        with files.staging(self.project.build_dir) as scratch:
            if config.build_system == "custom":
                self._run_command(config, scratch)
            else:
                stage_zip(self.project, config, found, scratch)
                files.put_folder(scratch / BUILD_NAME, config.output)

    def _run_command(self, config: gdk.Config, scratch: Path) -> None:
        from verge.fleet import recipes

        recipes.load_source(self.project, config)
        # From here on the output is not what the record says, until the build has ended well.
        self.records.pop(config.folder.name, None)
        self.changed = True
        self.save(complete=False)
        # A command outlives a build that is killed; the next build waits here for its end.
        place = self.project.build_dir / "commands" / config.name
        with files.held(place, f"the build command of {config.name}", self.report) as lock:
            self._run_in_empty_output(config, scratch / BUILD_NAME, lock)

    def _run_in_empty_output(self, config: gdk.Config, former: Path, lock: int) -> None:
        from verge.fleet import recipes

        with files.explained("write", config.output):
            for folder in (former / "recipes", former / "artifacts" / config.name / config.version):
                folder.mkdir(parents=True)
        files.put_folder(former, config.output)
        try:
            run_command(config, self.report, lock)
            recipes.check_output(self.project, config)
        except BaseException:
            if former.is_dir():
                files.put_folder(former, config.output)
            else:
                shutil.rmtree(config.output, ignore_errors=True)
            raise


def stage_zip(project: Project, config: gdk.Config, found: inputs.Inputs, scratch: Path) -> None:
    """Lay out in `scratch` what the build system `zip` gives (Greengrass contract 6.3, 6.4)."""
    from verge.fleet import archive, recipes

    source = recipes.load_source(project, config)
    artifacts = scratch / BUILD_NAME / "artifacts" / config.name / config.version
    listing = scratch / BUILD_NAME / "recipes"
    with files.explained("write", scratch):
        artifacts.mkdir(parents=True)
        listing.mkdir()
    text = recipes.transform(source, config, {config.archive})
    if config.archive in source.file_names():
        members = [
            (member.name, Path(member.path), member.executable, member.digest)
            for member in found.members
        ]
        archive.write_zip(artifacts / config.archive, members)
        archive.check_zip(artifacts / config.archive, f"the archive of {config.name}")
    files.write_atomic(listing / source.path.name, text)
    set_modes(scratch)


def run_command(config: gdk.Config, report: files.Report, lock: int) -> None:
    """Run the custom build command in the component's folder, without a shell (contract 6.3).

    Times, zone, language and umask are fixed, so that commands that honour them give the same bytes
    everywhere. What it prints is passed on line by line.
    """
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    shown = " ".join(config.command)
    report(f"> {shown}")
    last: deque[str] = deque(maxlen=LAST_LINES)
    try:
        process = subprocess.Popen(
            config.command,
            cwd=config.folder,
            env=environment,
            umask=0o022,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=[lock],
        )
    except OSError as error:
        raise FleetError(
            f"cannot build {config.name}: cannot run {config.command[0]!r}: {error.strerror}",
            f"install it, or correct custom_build_command in {config.place}",
        ) from error
    with process:
        try:
            for line in process.stdout or ():
                last.append(line.rstrip("\n"))
                report(f"  {last[-1]}")
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        evidence = "".join(f"\n  {line}" for line in last)
        raise FleetError(
            f"cannot build {config.name}: `{shown}` ended with {process.returncode}{evidence}"
        )


def _files(config: gdk.Config, outputs: Mapping[str, str], folder: str) -> tuple[Artifact, ...]:
    return tuple(
        Artifact(config.output / name, outputs[name])
        for name in sorted(outputs)
        if name.rpartition("/")[0] == folder
    )


def set_modes(folder: Path) -> None:
    """Give a folder and all in it the modes 0755 and 0644, whatever the umask is."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
