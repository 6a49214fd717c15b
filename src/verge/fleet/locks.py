"""Locks: exact versions with hashes, compiled per platform from a `requirements.in`."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from verge.fleet import files
from verge.fleet.errors import FleetError, describe
from verge.fleet.platforms import Platform
from verge.fleet.project import Project

REQUIREMENTS = "requirements.in"
TOOLING_PYTHON = "3.11"
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """A package at one version with the SHA-256 (hex) of every file that may stand for it."""

    name: str
    version: str
    hashes: frozenset[str]


@dataclass(frozen=True)
class LockSource:
    """A `requirements.in` and where its locks lie."""

    folder: Path
    locks: Path

    @property
    def requirements(self) -> Path:
        """What is asked for."""
        return self.folder / REQUIREMENTS

    def lock(self, platform: Platform) -> Path:
        """Return where the lock of a platform lies."""
        return self.locks / f"{platform.key}.txt"


def lock_sources(project: Project) -> list[LockSource]:
    """Return every component that has a `requirements.in`, and first the nucleus."""
    found = [LockSource(project.nucleus_locks_dir, project.nucleus_locks_dir)]
    found += [LockSource(folder, folder / "locks") for folder in project.folders()]
    return [source for source in found if source.requirements.is_file()]


def ensure_lock(
    project: Project,
    source: LockSource,
    platform: Platform,
    *,
    relock: bool,
    report: files.Report,
) -> bool:
    """Compile the lock of a platform if it is missing or its `requirements.in` changed.

    `relock` compiles it in any case and takes the newest versions; otherwise versions stay where
    they can. Returns whether it was written. A package without wheel for the platform is refused.
    """
    if is_current(source, platform) and not relock:
        return False
    path = source.lock(platform)
    former = _text(path)
    report(f"Locking {project.relative(source.requirements)} for {platform.key}")
    text = _header(source, platform) + _compile(project, source, platform, "" if relock else former)
    if text == former:
        return False
    files.write_atomic(path, text.encode())
    return True


def is_current(source: LockSource, platform: Platform) -> bool:
    """Return whether the lock of a platform was compiled from the requirements as they are."""
    return _text(source.lock(platform)).startswith(_header(source, platform))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise FleetError(f"cannot read {path}: {describe(error)}") from error


def _header(source: LockSource, platform: Platform) -> str:
    digest = hashlib.sha256(source.requirements.read_bytes()).hexdigest()
    return f"# {REQUIREMENTS} sha256:{digest} for {platform.key}; `./inv wheels` renews it\n"


def _compile(project: Project, source: LockSource, platform: Platform, former: str) -> str:
    with files.staging(project.wheelhouse_dir) as scratch:
        target = scratch / "lock.txt"
        target.write_text(former, "utf-8")
        _run_uv(
            [
                *("--python-version", platform.python, "--python-platform", platform.uv_name),
                *("--only-binary", ":all:", "--no-header", "--no-annotate", "-o", str(target)),
                str(source.requirements),
            ],
            source.folder,
            f"{project.relative(source.requirements)} for {platform.key}",
        )
        return target.read_text("utf-8")


def lock_tooling(project: Project) -> bool:
    """Compile `requirements.lock` from `requirements.in`; return whether that changed it."""
    path = project.root / "requirements.lock"
    former = path.read_bytes() if path.is_file() else b""
    arguments = ["--python-version", TOOLING_PYTHON, "--no-header"]
    _run_uv([*arguments, "-o", path.name, REQUIREMENTS], project.root, REQUIREMENTS)
    return path.read_bytes() != former


def _run_uv(arguments: list[str], folder: Path, what: str) -> None:
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--generate-hashes"]
    command += ["--no-emit-index-url", "--no-config", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=index_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FleetError(
            f"cannot lock {what}: {_said(done.stderr)}",
            "correct the requirement, or check that this machine reaches its package index",
        )


def _said(stderr: str) -> str:
    """Return what uv said as one line, without its drawing characters."""
    words = re.findall(r"[!-~]+", stderr)
    return " ".join(words) or "uv gave no reason"


def index_environment() -> dict[str, str]:
    """Return the environment in which pip and uv ask the same index.

    uv reads no pip configuration, so the index that pip would ask is handed to it. `PIP_FIND_LINKS`
    is left out: files that happen to lie on this machine must not decide what a lock holds.
    """
    environment = {name: text for name, text in os.environ.items() if name != "PIP_FIND_LINKS"}
    if not environment.keys() & {"UV_DEFAULT_INDEX", "UV_INDEX_URL"}:
        index = environment.get("PIP_INDEX_URL") or _configured_index(environment)
        if index:
            environment["UV_DEFAULT_INDEX"] = index
    return environment


def _configured_index(environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def read_lock(project: Project, path: Path) -> list[Pin]:
    """Return what a lock pins; a line without exact version and hash is refused."""
    place = project.relative(path)
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise FleetError(f"cannot read {place}: {describe(error)}") from error
    lines = (line.partition("#")[0].strip() for line in text.replace("\\\n", " ").splitlines())
    return [_read_pin(place, line) for line in lines if line]


def _read_pin(place: str, line: str) -> Pin:
    match = _PIN.match(line)
    hashes = frozenset(_HASH.findall(line))
    if not match or not hashes:
        raise FleetError(
            f"cannot use the lock {place}: it has a line without exact version and hash: "
            f"{line[:80]!r}",
            "`./inv wheels --relock` compiles it anew",
        )
    return Pin(normalise(match[1]), match[2], hashes)


def normalise(name: str) -> str:
    """Return the name of a package as it is compared: `Node_Semver` is `node-semver`."""
    return re.sub(r"[-_.]+", "-", name).lower()
