"""The monitor as a process, where it cannot start."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


def test_says_that_it_needs_a_nucleus(tmp_path: Path) -> None:
    """Started by hand, without a nucleus, it ends with exit code 3 and says what it lacks."""
    environment = {key: value for key, value in os.environ.items() if key != "SVCUID"}
    environment.pop("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", None)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "file_system_monitor.main", "--work", str(tmp_path)],
        env={**environment, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stdout.startswith("ERROR Cannot start reason=cannot connect to the nucleus: ")
    assert list(tmp_path.iterdir()) == []
