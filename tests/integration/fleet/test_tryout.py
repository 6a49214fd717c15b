"""A component tried on this machine, through the verb."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_unknown_component_is_named() -> None:
    """A component that does not exist is refused by name."""
    done = subprocess.run(
        [sys.executable, "-m", "verge.fleet.program", "--search-root", str(ROOT), "run", "trial"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot find trial" in done.stderr


def test_template_greets(tmp_path: Path) -> None:
    """The template's program greets within seconds of `./inv run`, and Ctrl-C ends it."""
    for name in ("tasks.py", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "_template").symlink_to(ROOT / "components" / "_template")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    inv = [sys.executable, "-m", "verge.fleet.program", "--search-root", str(tmp_path)]
    subprocess.run([*inv, "new", "com.example.Trial"], cwd=tmp_path, env=environment, check=True)
    with subprocess.Popen(
        [*inv, "run", "com.example.Trial"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout or ():
                if "Hello" in line:
                    break
        finally:
            os.killpg(process.pid, signal.SIGINT)
        rest = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0, rest
