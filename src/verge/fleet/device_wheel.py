"""The wheel of verge-fleet that devices install: the nucleus and the recipe model.

The tooling stays out of it, so that a change to a verb is no new nucleus on every device. The same
sources give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from verge.fleet import files, inputs
from verge.fleet.errors import FleetError
from verge.fleet.project import Project
from verge.fleet.stamps import Stamps, hash_file

PACKAGES = ("nucleus", "recipe")
_EPOCH = "315532800"  # 1980-01-01, the earliest time a zip can hold
_README = "The Verge nucleus and recipe model, as devices install them.\n"


@dataclass(frozen=True)
class DeviceWheel:
    """The wheel on disk."""

    path: Path
    sha256: str

    @property
    def requirement(self) -> str:
        """The line of a lock that allows this very file."""
        name, version = self.path.name.split("-")[:2]
        return f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{self.sha256}\n"


def build_device_wheel(project: Project, *, report: files.Report = files.silent) -> DeviceWheel:
    """Build the wheel if its sources changed; call with the lock of the wheelhouse held."""
    cache = project.wheelhouse_dir / "device-wheel.json"
    state = files.read_state(cache)
    stamps = Stamps(state.get("stamps"))
    sources = _sources(project)
    digest = _digest(project, sources, stamps)
    path = project.wheelhouse_dir / "device-wheel" / str(state.get("file"))
    if state.get("sources") == digest and path.is_file():
        found = stamps.digest(str(path), path.stat())
        if found == state.get("sha256"):
            if stamps.dirty:
                files.write_json(cache, {**state, "stamps": stamps.current})
            return DeviceWheel(path, found)
    report("Building the wheel of the nucleus")
    wheel = _build(project, sources)
    document = {"sources": digest, "file": wheel.path.name, "sha256": wheel.sha256}
    files.write_json(cache, {**document, "stamps": stamps.current})
    return wheel


def _sources(project: Project) -> list[Path]:
    package = project.root / "src" / "verge"
    found = [project.root / "pyproject.toml", package / "__init__.py"]
    found += sorted(project.root.glob("LICENSE*"))
    for name in PACKAGES:
        entries = inputs.walk(os.fspath(package / name))
        found += [
            Path(entry.path)
            for entry in entries
            if "__pycache__" not in entry.path and not entry.name.startswith(".")
        ]
    return found


def _digest(project: Project, sources: list[Path], stamps: Stamps) -> str:
    lines = [
        f"{stamps.digest(str(path), path.stat())} {project.relative(path)}" for path in sources
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _build(project: Project, sources: list[Path]) -> DeviceWheel:
    with files.staging(project.wheelhouse_dir) as scratch:
        tree, out = scratch / "tree", scratch / "device-wheel"
        with files.explained("write", scratch):
            for path in sources:
                target = tree / path.relative_to(project.root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                target.chmod(0o644)
            # The README of the repository changes often and says nothing about what is installed.
            (tree / "README.md").write_text(_README)
            (tree / "pyproject.toml").chmod(0o644)
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": _EPOCH}
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, check=False
        )
        wheels = sorted(out.glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            last = (done.stderr.strip().splitlines() or ["hatchling gave no reason"])[-1]
            raise FleetError(f"cannot build the wheel of the nucleus: {last}")
        name = wheels[0].name
        sha256 = hash_file(wheels[0])
        place = project.wheelhouse_dir / "device-wheel"
        files.put_folder(out, place)
    return DeviceWheel(place / name, sha256)
