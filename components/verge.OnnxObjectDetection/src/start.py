"""Wait for the runtime and the model, then become the detector.

Some nuclei install all components at once, so what this one depends on may not be there yet
when it starts. Runs on the device's own Python with the standard library alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

WAIT_SECONDS = 300.0
"""Longer than an install from the wheelhouse takes on a slow device."""
_POLL_SECONDS = 0.5
_REMIND_SECONDS = 15.0


def main() -> NoReturn:
    """Become the detector, or exit with code 3 if waiting was in vain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="of verge.OnnxRuntime")
    parser.add_argument("--card", type=Path, required=True, help="of verge.OnnxModel")
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, help="seconds")
    options = parser.parse_args()
    needs = {"verge.OnnxRuntime": options.python, "verge.OnnxModel": options.card}
    for component, path in needs.items():
        if not _wait_for(component, path, options.wait):
            sys.exit(3)
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent)
    python = str(options.python)
    command = [python, "-u", "-P", "-m", "object_detection.main", "--card", str(options.card)]
    os.execv(python, command)  # noqa: S606 - the very point: no shell and no second process


def _wait_for(component: str, path: Path, seconds: float) -> bool:
    started = time.monotonic()
    reminded = -_REMIND_SECONDS
    while not path.exists():
        waited = time.monotonic() - started
        if waited >= seconds:
            print(
                f"ERROR {component} has not provided {path} within {seconds:g} s; "
                f"look into the log of {component}",
                file=sys.stderr,
            )
            return False
        if waited - reminded >= _REMIND_SECONDS:
            print(f"Waiting for {component} to provide {path}", flush=True)
            reminded = waited
        time.sleep(_POLL_SECONDS)
    return True


if __name__ == "__main__":
    main()
