"""The detector as a process, where it cannot start."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


def run(card: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "SVCUID"}
    return subprocess.run(
        [sys.executable, "-P", "-m", "object_detection.main", "--card", str(card)],
        env={**environment, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_names_a_card_it_cannot_read(tmp_path: Path) -> None:
    """Without its model it ends with exit code 3 and one line that says why."""
    done = run(tmp_path / "model.yaml")
    assert done.returncode == 3
    assert done.stdout.startswith("ERROR Cannot start reason=cannot read the card")
    assert done.stderr == ""


def test_says_that_it_needs_a_nucleus(card_path: Path) -> None:
    """Started by hand, without a nucleus, it says what it lacks."""
    done = run(card_path)
    assert done.returncode == 3
    assert "cannot connect to the nucleus: " in done.stdout
    assert "is not set; start this component through one" in done.stdout
