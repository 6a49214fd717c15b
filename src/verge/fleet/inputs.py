"""What a component is built from: its files, found and hashed."""

# os.path takes half the time of pathlib, and a build looks at every file.
# ruff: noqa: PTH110, PTH116, PTH118

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verge.fleet import gdk
from verge.fleet.errors import FleetError, describe
from verge.fleet.project import BUILD_NAME, CONFIG_NAME, Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from verge.fleet.stamps import Stamps

# Part of every identity: raise it when the same inputs begin to give other bytes.
FORMAT = 1

# Made by tools, never a source: they would make a build depend on what ran before it.
NEVER = frozenset({"__pycache__", ".git", "zip-build"})
BYTECODE = ".pyc"

# Always an input, never in an archive.
DECLARATIONS = (CONFIG_NAME, *gdk.RECIPE_NAMES)


@dataclass(frozen=True)
class Source:
    """A file that goes into a build."""

    name: str
    """Relative to the component's folder, separated by `/`."""
    path: str
    executable: bool
    digest: str


@dataclass(frozen=True)
class Inputs:
    """All that decides what a build gives."""

    members: tuple[Source, ...]
    """For `zip`, what the archive holds; for `custom`, every file that git does not ignore."""
    identity: str
    """SHA-256 (hex) over names, executable bits and content of all inputs."""


def scan(project: Project, config: gdk.Config, stamps: Stamps, ignored: frozenset[str]) -> Inputs:
    """Find and hash the inputs of a component.

    Inputs are `gdk-config.json`, the recipe, and either what the archive will hold (build system
    `zip`) or every file git does not ignore (`custom`; `ignored` holds what it does, as absolute
    paths). A component whose `gdk-config.json` contains the text `_shared` has all of
    `components/_shared` as an input too; one that reaches single files there through links has just
    these. Links are followed. Folders matter only through the files in them.
    """
    walk = _Walk(stamps.digest, project)
    members = walk.files(os.fspath(config.folder), skip_for(config, ignored))
    parts = [("format", str(FORMAT)), ("archive", config.archive)]
    for name in DECLARATIONS:
        path = os.path.join(config.folder, name)
        if os.path.exists(path):
            parts.append(("declaration", f"{name} {stamps.digest(path, os.stat(path))}"))
    parts += [("member", _line(member)) for member in members]
    if config.uses_shared and project.shared_dir.is_dir():
        shared = walk.files(os.fspath(project.shared_dir), _skip_common)
        parts += [("shared", _line(member)) for member in shared]
    text = "".join(f"{kind} {value}\n" for kind, value in parts)
    identity = hashlib.sha256(text.encode()).hexdigest()
    return Inputs(tuple(members), identity)


def _line(source: Source) -> str:
    return f"{source.digest} {'x' if source.executable else '-'} {source.name}"


def skip_for(config: gdk.Config, ignored: frozenset[str]) -> Callable[[str, str, bool], bool]:
    """Return what says of (name, absolute path, is a folder) whether it is no input."""
    if config.build_system == "custom":
        own = {BUILD_NAME, *DECLARATIONS}
        return lambda name, path, is_folder: (
            name in own or path in ignored or _skip_common(name, path, is_folder)
        )
    left_out = config.excludes
    return lambda name, path, is_folder: (
        _skip_common(name, path, is_folder) or left_out.match(name, is_folder=is_folder)
    )


def _skip_common(name: str, _path: str, _is_folder: bool) -> bool:
    last = name.rpartition("/")[2]
    return last in NEVER or last.endswith(BYTECODE)


class _Walk:
    def __init__(self, digest: Callable[[str, os.stat_result], str], project: Project) -> None:
        self.digest = digest
        self.root = os.path.realpath(project.root) + os.sep
        self.links: set[str] = set()

    def files(self, root: str, skip: Callable[[str, str, bool], bool]) -> list[Source]:
        found: list[Source] = []
        self._folder(root, "", skip, found, ())
        return sorted(found, key=lambda source: source.name)

    def _folder(
        self,
        folder: str,
        prefix: str,
        skip: Callable[[str, str, bool], bool],
        found: list[Source],
        above: tuple[tuple[int, int], ...],
    ) -> None:
        try:
            status = os.stat(folder)
            here = (status.st_dev, status.st_ino)
            if here in above:
                raise FleetError(f"cannot build {folder}: the link leads back to a folder above it")
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._entry(entry, prefix, skip, found, (*above, here))
        except OSError as error:
            raise FleetError(
                f"cannot read {error.filename or folder}: {describe(error)}"
            ) from error

    def _entry(
        self,
        entry: os.DirEntry[str],
        prefix: str,
        skip: Callable[[str, str, bool], bool],
        found: list[Source],
        above: tuple[tuple[int, int], ...],
    ) -> None:
        name, path = prefix + entry.name, entry.path
        is_folder = entry.is_dir()
        if skip(name, path, is_folder):
            return
        if entry.is_symlink():
            self._link(path)
        if is_folder:
            self._folder(path, name + "/", skip, found, above)
            return
        try:
            name.encode()
        except UnicodeEncodeError:
            raise FleetError(f"cannot build {path!r}: its name is not valid UTF-8") from None
        status = entry.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FleetError(f"cannot build {path}: it is neither a file nor a folder")
        digest = self.digest(path, status)
        found.append(Source(name, path, bool(status.st_mode & 0o100), digest))

    def _link(self, path: str) -> None:
        target = os.path.realpath(path)
        if target.startswith(self.root):
            self.links.add(target.removeprefix(self.root))


def walk(folder: str) -> Iterator[os.DirEntry[str]]:
    """Return every file under a folder, in order of names; none if the folder is absent."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from walk(entry.path)
        else:
            yield entry


def find_links(project: Project, config: gdk.Config) -> set[str]:
    """Return where in the project the links among a component's inputs lead, as paths there."""
    walk = _Walk(lambda _path, _status: "", project)
    walk.files(os.fspath(config.folder), skip_for(config, frozenset()))
    return walk.links


def ignored_by_git(project: Project) -> frozenset[str]:
    """Return the absolute paths under `components/` that git ignores; empty where there is no git.

    What a custom build command leaves in its folder is told from its sources by this alone.
    """
    command = ["git", "-C", os.fspath(project.components_dir), "ls-files", "-z", "--others"]
    command += ["--ignored", "--exclude-standard", "--directory", "--", "."]
    try:
        answer = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return frozenset()
    base = os.fspath(project.components_dir)
    names = os.fsdecode(answer.stdout).split("\0")
    return frozenset(os.path.join(base, name.rstrip("/")) for name in names if name)
