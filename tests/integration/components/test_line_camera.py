"""The example that announces its pictures itself, on a real nucleus with the real detector."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from PIL import Image

from tests.integration.components import line as lines

CAMERA = "com.example.LineCamera"


def make_source(folder: Path) -> Path:
    """Make what the camera sees."""
    folder.mkdir()
    with Image.open(lines.PICTURES / "chelsea.png") as picture:
        picture.convert("RGB").save(folder / "cat.jpg", quality=90)
    return folder


def pid_of(root: Path) -> int | None:
    """Return the process id of the camera on this root."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue
        if any(word.endswith(f"{CAMERA}/main.py".encode()) for word in words) and any(
            word.startswith(os.fsencode(root)) for word in words
        ):
            return int(entry.name)
    return None


async def test_a_camera_announces_its_own_pictures(tmp_path: Path) -> None:
    """Each picture has one result though the camera is killed, and goes once it is answered."""
    source = make_source(tmp_path / "scene")
    async with lines.running_line(annotate="false") as line:
        lines.release_example(line.nucleus.release, CAMERA)
        update = {CAMERA: {"MERGE": {"source": str(source), "everySeconds": "0.2"}}}
        report = await line.nucleus.deploy("--merge", CAMERA, "--update-config", json.dumps(update))
        assert report["status"] == "SUCCEEDED", report
        await line.results_of_at_least(3)
        killed = pid_of(line.nucleus.root)
        assert killed
        os.kill(killed, signal.SIGKILL)
        await line.nucleus.until(
            lambda: pid_of(line.nucleus.root) not in {None, killed}, "the camera runs again"
        )
        await line.results_of_at_least(len(line.documents()) + 3)
        documents = line.documents()
        shots = line.nucleus.root / "work" / CAMERA / "shots"
        await line.nucleus.until(
            lambda: not any((shots / name).exists() for name in documents),
            "answered pictures are deleted",
        )
    assert all(Path(name).stem == document["id"] for name, document in documents.items())
    assert all(document["detections"][0]["label"] == "cat" for document in documents.values())
