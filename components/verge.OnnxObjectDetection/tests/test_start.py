"""Waiting for what other components install."""

import os
import subprocess
import sys
import threading
from pathlib import Path

START = Path(__file__).parents[1] / "src" / "start.py"


def command(folder: Path, wait: float) -> list[str]:
    return [
        *(sys.executable, "-u", str(START), "--wait", str(wait)),
        *("--python", str(folder / "python"), "--models", str(folder), "--work", str(folder)),
    ]


def test_gives_up_with_a_name(tmp_path: Path) -> None:
    """What does not come in time is named with the component that should have brought it."""
    done = subprocess.run(command(tmp_path, 0), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "ERROR verge.OnnxRuntime has not provided" in done.stderr


def test_becomes_the_detector_when_all_is_there(tmp_path: Path) -> None:
    """It waits aloud, then runs the detector in the same process."""
    script = '#!/bin/sh\necho "$$ $PYTHONPATH $*"\n'
    with subprocess.Popen(
        command(tmp_path, 30), stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Waiting for verge.OnnxRuntime to provide")
        new = tmp_path / "new"
        new.write_text(script, encoding="utf-8")
        new.chmod(0o755)
        new.rename(tmp_path / "python")
        timer = threading.Timer(30, process.kill)
        timer.start()
        answer = process.stdout.readline().split(maxsplit=2)
        timer.cancel()
    assert answer[0] == str(process.pid)
    assert answer[1] == str(START.parent)
    assert answer[2].strip().endswith(f"-m object_detection.main --models {tmp_path} --wait 30.0")
    assert (tmp_path / "current").resolve() == START.parent
    assert process.returncode == 0
