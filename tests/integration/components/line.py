"""Our components, built and deployed to a real nucleus process.

The environments are the tests' own: where a recipe would install wheels, a link to the tests'
environment stands, as the install step would leave it. Everything else is as on a device.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml

from tests.support import nucleus as nuclei
from tests.support import recipes

ROOT = Path(__file__).parents[3]
COMPONENTS = ROOT / "components"
PICTURES = ROOT / "pictures"

MONITOR = "verge.FileSystemMonitor"
RUNTIME = "verge.OnnxRuntime"
MODEL = "verge.OnnxModel"
DETECTOR = "verge.OnnxObjectDetection"
UPLOADER = "verge.CaptureUploader"

_MARKS = {
    MONITOR: "file_system_monitor.main",
    DETECTOR: "object_detection.main",
    UPLOADER: "capture_uploader.main",
}
_LEFT_OUT = {"tests", "__pycache__", ".mypy_cache", ".pytest_cache"}


class Line:
    """A nucleus with the detection line on it."""

    def __init__(self, nucleus: nuclei.NucleusProcess) -> None:
        self.nucleus = nucleus
        self.pictures = nucleus.directory / "pictures"
        self.results = nucleus.directory / "results"
        self.pictures.mkdir()

    async def deploy(self, **detector: Any) -> None:
        """Put the four components into the release and deploy them."""
        for name in (MONITOR, RUNTIME, MODEL, DETECTOR):
            release_component(self.nucleus.release, name)
        update = {
            MONITOR: {"MERGE": {"directories": [str(self.pictures)]}},
            DETECTOR: {"MERGE": {"outputDirectory": str(self.results), **detector}},
        }
        report = await self.nucleus.deploy(
            *("--merge", MONITOR, "--merge", DETECTOR, "--update-config", json.dumps(update))
        )
        assert report["status"] == "SUCCEEDED", report
        await self.ready()

    async def ready(self) -> None:
        """Wait until both components do their work."""
        for name in (MONITOR, DETECTOR):
            await self.nucleus.in_state(name, "RUNNING")
            await self.nucleus.until(functools.partial(self.process, name), f"{name} has a process")

    def drop(self, source: Path, name: str) -> Path:
        """Copy a picture into the watched directory, as `cp` does."""
        target = self.pictures / name
        shutil.copyfile(source, target)
        return target

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return the stored results and rejections by the names of their pictures.

        Fails if a picture has two of them.
        """
        found: dict[str, dict[str, Any]] = {}
        for path in sorted(self.results.glob("*.json")):
            document = json.loads(path.read_bytes())
            name = Path(document["picture"]["path"]).name
            assert name not in found, f"two results for {name}"
            found[name] = document
        return found

    async def results_of(self, *names: str) -> dict[str, dict[str, Any]]:
        """Wait, as long as there is progress, until exactly these pictures have a result."""
        wanted = set(names)
        count = len(self.documents())
        while count < len(wanted):
            await self.nucleus.until(
                functools.partial(self._has_more_than, count),
                f"more than {count} of {len(wanted)} results",
            )
            count = len(self.documents())
        found = self.documents()
        assert set(found) == wanted
        return found

    async def results_of_at_least(self, count: int, patience: float = nuclei.PATIENCE) -> None:
        """Wait until so many pictures have a result, at most so many seconds for one of them."""
        # Looked at once a turn: what came between two looks would be waited for in vain.
        while (before := len(self.documents())) < count:
            await self.nucleus.until(
                functools.partial(self._has_more_than, before),
                f"more than {before} results",
                patience,
            )

    def _has_more_than(self, count: int) -> bool:
        return len(self.documents()) > count

    async def is_drawn(self, path: str) -> bool:
        """Return whether an annotated picture, which may follow its result, is a JPEG."""
        await self.nucleus.until(Path(path).exists, f"{path} is drawn")
        return is_jpeg(path)

    def process(self, component: str) -> int | None:
        """Return the process id of a component on this root."""
        root = os.fsencode(self.nucleus.root)
        mark = _MARKS[component].encode()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and _is(entry, mark, root):
                    return int(entry.name)
        return None

    async def kill(self, component: str) -> None:
        """Kill a component with SIGKILL and wait until it runs again."""
        before = self.process(component)
        assert before, f"{component} does not run"
        os.kill(before, signal.SIGKILL)
        await self.nucleus.until(
            lambda: self.process(component) not in {None, before}, f"{component} runs again"
        )

    def log(self, component: str) -> str:
        """Return the log of a component."""
        return self.nucleus.log(component)


def _is(entry: Path, mark: bytes, root: bytes) -> bool:
    words = (entry / "cmdline").read_bytes().split(b"\0")
    return mark in words and any(word.startswith(root) for word in words)


def release_component(release: recipes.Release, name: str) -> None:
    """Build one component as `inv build` does: the same files under the same names."""
    _write_release(release, name, "1.0.0", recipes.archive(dict(_members(COMPONENTS / name))))


def _write_release(
    release: recipes.Release, name: str, version: str, content: bytes, folder: Path | None = None
) -> None:
    source = folder or COMPONENTS / name
    recipe = yaml.safe_load((source / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["ComponentVersion"] = version
    manifest = recipe["Manifests"][0]
    manifest["Artifacts"][0] |= {"Digest": recipes.digest(content), "Algorithm": "SHA-256"}
    if name in {MONITOR, RUNTIME, UPLOADER}:
        manifest["Lifecycle"]["install"] = f'ln -sfn "{sys.prefix}" "{{work:path}}/current"'
    artifacts = release.artifacts / name / version
    artifacts.mkdir(parents=True)
    (artifacts / f"{name}.zip").write_bytes(content)
    (release.recipes / f"{name}-{version}.yaml").write_text(json.dumps(recipe), encoding="utf-8")


def release_example(release: recipes.Release, name: str) -> None:
    """Add an example to the release."""
    folder = ROOT / "examples" / name
    _write_release(release, name, "1.0.0", recipes.archive(dict(_members(folder))), folder)


def release_model(release: recipes.Release, version: str, label: str = "cat") -> None:
    """Add a version of the model whose card says that version, and promises that label."""
    card = COMPONENTS / MODEL / "model" / "model.yaml"
    document = yaml.safe_load(card.read_text(encoding="utf-8"))
    document["version"] = version
    document["golden"][0]["label"] = label
    members = dict(_members(COMPONENTS / MODEL))
    members["model/model.yaml"] = yaml.safe_dump(document).encode()
    _write_release(release, MODEL, version, recipes.archive(members))


def _members(folder: Path) -> list[tuple[str, bytes]]:
    found = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        for name in files:
            path = Path(parent, name)
            found.append((str(path.relative_to(folder)), path.read_bytes()))
    return found


@contextlib.asynccontextmanager
async def running_line(**detector: Any) -> AsyncIterator[Line]:
    """Run a nucleus with the detection line; keyword arguments configure the detector."""
    async with nuclei.running_nucleus() as nucleus:
        line = Line(nucleus)
        await line.deploy(**detector)
        yield line


def is_jpeg(path: str) -> bool:
    """Return whether a file begins as a JPEG does."""
    return Path(path).read_bytes()[:2] == b"\xff\xd8"
