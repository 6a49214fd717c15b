"""The scripts that run on a device, run here as they run there."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

REMOTE = Path(__file__).parents[3] / "src/verge/fleet/remote"


def _start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    source = (REMOTE / script).read_text(encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return a watched and a result directory."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "results").mkdir()
    return tmp_path / "pictures", tmp_path / "results"


def _answer_when_complete(pictures: Path, results: Path, content: bytes) -> None:
    """Act as the detector: answer once the picture lies there under its own name."""
    target = pictures / "cat.png"
    while not target.exists():
        pass
    assert target.read_bytes() == content
    document = {"id": "2", "picture": {"path": str(target)}, "detections": []}
    (results / ".2.json.part").write_text(json.dumps(document), encoding="utf-8")
    (results / ".2.json.part").rename(results / "2.json")


def test_picture_appears_whole_and_its_result_is_returned(folders: tuple[Path, Path]) -> None:
    """The picture takes its name only when complete, and the answer is its own result."""
    pictures, results = folders
    old = {"id": "1", "picture": {"path": str(pictures / "cat.png")}, "detections": []}
    (results / "1.json").write_text(json.dumps(old), encoding="utf-8")
    content = bytes(range(256)) * 5000
    detector = threading.Thread(target=_answer_when_complete, args=(pictures, results, content))
    detector.start()
    process = _start("drop_picture.py", str(pictures), str(results), "cat.png", "20")
    output, errors = process.communicate(content)
    detector.join()
    assert process.returncode == 0, errors.decode()
    assert json.loads(output)["result"]["id"] == "2"
    assert [path.name for path in pictures.iterdir()] == ["cat.png"]


def test_missing_result_has_its_own_exit_code(folders: tuple[Path, Path]) -> None:
    """No result in time ends with 75, which the tooling explains."""
    pictures, results = folders
    process = _start("drop_picture.py", str(pictures), str(results), "cat.png", "0.05")
    process.communicate(b"x")
    assert process.returncode == 75


def test_results_come_newest_first(folders: tuple[Path, Path]) -> None:
    """The newest result documents are read, and unfinished ones passed over."""
    import os

    _, results = folders
    for age, name in enumerate(["new", "middle", "old"]):
        path = results / f"{name}.json"
        path.write_text(json.dumps({"id": name}), encoding="utf-8")
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    (results / ".half.json").write_text("{", encoding="utf-8")
    process = _start("read_results.py", str(results), "2")
    output, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert [document["id"] for document in json.loads(output)] == ["new", "middle"]


def test_a_result_that_is_removed_meanwhile_is_passed_over(folders: tuple[Path, Path]) -> None:
    """The detector removes its oldest results at any moment; the others are read all the same."""
    pictures, results = folders
    # What is listed and cannot be opened any more.
    (results / "1.json").symlink_to(results / "gone")
    (results / "2.json").write_text(json.dumps({"id": "2"}), encoding="utf-8")
    process = _start("read_results.py", str(results), "5")
    output, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert json.loads(output) == [{"id": "2"}]

    def answer() -> None:
        while not (pictures / "cat.png").exists():
            pass
        (results / "3.json").symlink_to(results / "gone")
        _answer_when_complete(pictures, results, b"x")

    (results / "2.json").unlink()
    detector = threading.Thread(target=answer)
    detector.start()
    process = _start("drop_picture.py", str(pictures), str(results), "cat.png", "20")
    output, errors = process.communicate(b"x")
    detector.join()
    assert process.returncode == 0, errors.decode()
    assert json.loads(output)["result"]["id"] == "2"


def test_missing_result_directory_is_empty(tmp_path: Path) -> None:
    """A device that never had results has none."""
    process = _start("read_results.py", str(tmp_path / "none"), "2")
    output, _ = process.communicate()
    assert json.loads(output) == []
