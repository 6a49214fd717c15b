"""Wheels for devices that have no network: locked, downloaded and listed per platform."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verge.fleet import device_wheel, files, locks
from verge.fleet.errors import FleetError
from verge.fleet.platforms import Platform
from verge.fleet.project import Project
from verge.fleet.stamps import Stamps

MANIFEST = "manifest.json"
NUCLEUS_LOCK = "nucleus.txt"
_UNAVAILABLE = re.compile(r"No matching distribution found for ([^\s=<>!~;]+)")


@dataclass(frozen=True)
class Wheelhouse:
    """The wheels of one platform."""

    platform: str
    path: Path
    wheels: int
    size: int
    """In bytes, of all wheels together."""
    changed: bool
    """Whether this run changed anything, the locks included."""


def build_wheelhouse(
    project: Project,
    platforms: Iterable[str],
    *,
    relock: bool = False,
    report: files.Report = files.silent,
) -> list[Wheelhouse]:
    """Bring `.verge/wheelhouse/<platform>/` up to date for each platform such as `cp311-x86_64`.

    Takes part: every component with a `requirements.in`, and the nucleus. Their locks are compiled
    where they are missing or out of date (all of them with `relock`), wheels that are missing are
    downloaded and checked against the hashes of the locks, wheels that no lock names are removed.
    Each folder holds the wheels, `manifest.json` (`platform` and, per wheel, `file`, `sha256`,
    `size`) and `nucleus.txt`, the lock that installs the nucleus from this folder alone.
    A package without wheel for a platform is refused, by name and platform.
    """
    wanted = [Platform.parse(key) for key in dict.fromkeys(platforms)]
    with files.held(project.wheelhouse_dir, "wheels", report):
        own = device_wheel.build_device_wheel(project, report=report)
        return [_Filling(project, platform, own, report).run(relock) for platform in wanted]


class _Filling:
    """One platform under the lock."""

    def __init__(
        self,
        project: Project,
        platform: Platform,
        own: device_wheel.DeviceWheel,
        report: files.Report,
    ) -> None:
        self.project = project
        self.platform = platform
        self.own = own
        self.report = report
        self.path = project.wheelhouse_dir / platform.key
        self.cache = project.wheelhouse_dir / f"{platform.key}.json"
        self.stamps = Stamps(files.read_state(self.cache).get("stamps"))

    def run(self, relock: bool) -> Wheelhouse:
        sources = locks.lock_sources(self.project)
        changed = [self._lock(source, relock) for source in sources]
        pins = self._pins(sources)
        wheels = self._wheels()
        missing = [pin for pin in pins if not pin.hashes & wheels.keys()]
        if missing:
            self._download(missing, sources)
            wheels = self._wheels()
        kept = {digest: wheels[digest] for pin in pins for digest in pin.hashes & wheels.keys()}
        misses_own = self.own.sha256 not in wheels
        if misses_own:
            self._place_own()
        kept[self.own.sha256] = self.path / self.own.path.name
        listed = self._list(kept)
        removed = self._remove_others(kept)
        self._remember()
        changed += [bool(missing), misses_own, listed, removed]
        size = sum(path.stat().st_size for path in kept.values())
        return Wheelhouse(self.platform.key, self.path, len(kept), size, any(changed))

    def _lock(self, source: locks.LockSource, relock: bool) -> bool:
        return locks.ensure_lock(
            self.project, source, self.platform, relock=relock, report=self.report
        )

    def _pins(self, sources: list[locks.LockSource]) -> list[locks.Pin]:
        hashes: dict[tuple[str, str], frozenset[str]] = {}
        for source in sources:
            for pin in locks.read_lock(self.project, source.lock(self.platform)):
                known = hashes.get((pin.name, pin.version), frozenset())
                hashes[pin.name, pin.version] = known | pin.hashes
        return [locks.Pin(*key, hashes[key]) for key in sorted(hashes)]

    def _wheels(self) -> dict[str, Path]:
        """Return the wheels there are by SHA-256; a damaged one is found under a useless key."""
        with contextlib.suppress(FileNotFoundError):
            entries = sorted(self.path.iterdir())
            return {
                self.stamps.digest(str(path), path.stat()): path
                for path in entries
                if path.suffix == ".whl" and path.is_file()
            }
        return {}

    def _download(self, missing: list[locks.Pin], sources: list[locks.LockSource]) -> None:
        self.report(f"Downloading {len(missing)} wheels for {self.platform.key}")
        with files.staging(self.project.wheelhouse_dir) as scratch:
            for number, batch in enumerate(_without_repeats(missing)):
                folder = scratch / str(number)
                folder.mkdir()
                self._run_pip(batch, folder, sources)
                self._take(batch, folder)

    def _run_pip(
        self, batch: list[locks.Pin], folder: Path, sources: list[locks.LockSource]
    ) -> None:
        lock = folder / "wheels.txt"
        lock.write_text("".join(_requirement(pin) for pin in batch), "utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"]
        command += ["--no-deps", "--only-binary=:all:", "--no-input", *self.platform.pip_options]
        done = subprocess.run(
            [*command, "-r", str(lock), "-d", str(folder)],
            env=locks.index_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise self._refusal(done.stderr, batch, sources)

    def _refusal(
        self, said: str, batch: list[locks.Pin], sources: list[locks.LockSource]
    ) -> FleetError:
        match = _UNAVAILABLE.search(said)
        name = locks.normalise(match[1]) if match else ""
        pin = next((pin for pin in batch if pin.name == name), None)
        if pin is None:
            lines = [line for line in said.splitlines() if line.startswith("ERROR")]
            reason = (lines or said.strip().splitlines() or ["pip gave no reason"])[-1]
            return FleetError(
                f"cannot download wheels for {self.platform.key}: {reason}",
                "check that this machine reaches its package index (pip config list)",
            )
        return self._no_wheel(pin, sources)

    def _no_wheel(self, pin: locks.Pin, sources: list[locks.LockSource]) -> FleetError:
        places = [
            self.project.relative(source.requirements)
            for source in sources
            if pin.name
            in {other.name for other in locks.read_lock(self.project, source.lock(self.platform))}
        ]
        return FleetError(
            f"cannot find a wheel of {pin.name} {pin.version} for {self.platform.key} "
            f"(wanted by {', '.join(places)}): the package index has none that the lock allows",
            "require a version that has one, then run `./inv wheels --relock`",
        )

    def _take(self, batch: list[locks.Pin], folder: Path) -> None:
        """Move what was downloaded into place; only whole wheels that a lock names get there."""
        allowed = frozenset().union(*(pin.hashes for pin in batch))
        with files.explained("write", self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            found: set[str] = set()
            for path in sorted(folder.glob("*.whl")):
                digest = self.stamps.digest(str(path), path.stat())
                if digest in allowed:
                    found.add(digest)
                    _put(path, self.path / path.name)
        for pin in batch:
            if not pin.hashes & found:
                raise self._no_wheel(pin, locks.lock_sources(self.project))

    def _place_own(self) -> None:
        with files.explained("write", self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            scratch = self.path / f".{self.own.path.name}.new"
            shutil.copyfile(self.own.path, scratch)
            _put(scratch, self.path / self.own.path.name)

    def _list(self, kept: dict[str, Path]) -> bool:
        """Write manifest and nucleus lock if they are not as they should be."""
        listing = sorted((path.name, digest, path.stat().st_size) for digest, path in kept.items())
        manifest = {
            "platform": self.platform.key,
            "wheels": [
                {"file": name, "sha256": digest, "size": size} for name, digest, size in listing
            ],
        }
        source = self.project.nucleus_locks_dir / f"{self.platform.key}.txt"
        nucleus = source.read_text("utf-8") if source.is_file() else ""
        written = _write_if_other(self.path / NUCLEUS_LOCK, nucleus + self.own.requirement)
        current = files.read_state(self.path / MANIFEST)
        if current == manifest:
            return written
        files.write_json(self.path / MANIFEST, manifest, indent=1)
        return True

    def _remove_others(self, kept: dict[str, Path]) -> bool:
        names = {path.name for path in kept.values()} | {MANIFEST, NUCLEUS_LOCK}
        others = [path for path in self.path.iterdir() if path.name not in names]
        with files.explained("clear", self.path):
            for path in others:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return bool(others)

    def _remember(self) -> None:
        stamps = Stamps(self.stamps.current)
        self._stamp_all(stamps)
        if stamps.hashed or self.stamps.dirty:
            files.write_json(self.cache, {"stamps": stamps.current})

    def _stamp_all(self, stamps: Stamps) -> None:
        for path in self.path.glob("*.whl"):
            stamps.digest(os.fspath(path), path.stat())


def _put(path: Path, place: Path) -> None:
    path.chmod(0o644)
    if place.is_dir():
        shutil.rmtree(place)
    path.replace(place)


def _write_if_other(path: Path, text: str) -> bool:
    try:
        if path.read_text("utf-8") == text:
            return False
    except FileNotFoundError:
        pass
    files.write_atomic(path, text.encode())
    return True


def _requirement(pin: locks.Pin) -> str:
    hashes = "".join(f" --hash=sha256:{digest}" for digest in sorted(pin.hashes))
    return f"{pin.name}=={pin.version}{hashes}\n"


def _without_repeats(pins: list[locks.Pin]) -> Iterator[list[locks.Pin]]:
    """Return the pins in rounds, so that pip is never asked for two versions of one package."""
    grouped = itertools.groupby(pins, key=lambda pin: pin.name)
    rounds = itertools.zip_longest(*(list(group) for _, group in grouped))
    for round_ in rounds:
        yield [pin for pin in round_ if pin is not None]
