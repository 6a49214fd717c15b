"""The detector as a process, where it cannot start."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


def run(models: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "SVCUID"}
    return subprocess.run(
        [sys.executable, "-P", "-m", "object_detection.main", "--models", str(models)],
        env={**environment, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_says_that_it_needs_a_nucleus(tmp_path: Path) -> None:
    """Started by hand, without a nucleus, it says what it lacks."""
    done = run(tmp_path)
    assert done.returncode == 3
    assert "cannot connect to the nucleus: " in done.stdout
    assert "is not set; start this component through one" in done.stdout
    assert done.stderr == ""
