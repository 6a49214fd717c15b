"""The component as a process, as a nucleus runs it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = Path(__file__).parents[1] / "src" / "main.py"


def test_greets_and_stops_when_told() -> None:
    """It names its device, and SIGTERM ends it with exit code 0."""
    command = [sys.executable, "-u", MAIN, "--greeting", "Hello", "--interval", "60"]
    environment = {**os.environ, "AWS_IOT_THING_NAME": "press-01"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Hello from press-01\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "Stopping\n"
    assert process.returncode == 0


@pytest.mark.parametrize("interval", ["soon", "0", "-1", "nan"])
def test_refuses_an_interval_that_is_none(interval: str) -> None:
    """A wrong setting ends it at once with a sentence that names the option."""
    command = [sys.executable, MAIN, "--greeting", "Hello", f"--interval={interval}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--interval" in done.stderr
