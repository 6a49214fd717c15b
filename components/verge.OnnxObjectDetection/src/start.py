"""Wait for the runtime, then become the detector.

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
    parser.add_argument("--models", type=Path, required=True, help="where components' folders lie")
    parser.add_argument("--work", type=Path, required=True, help="this component's own")
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, help="seconds")
    options = parser.parse_args()
    if not _wait_for("verge.OnnxRuntime", options.python, options.wait):
        sys.exit(3)
    source = Path(__file__).resolve().parent
    _publish(source, options.work / "current")
    os.environ["PYTHONPATH"] = str(source)
    python = str(options.python)
    arguments = ["--models", str(options.models), "--wait", str(options.wait)]
    command = [python, "-u", "-P", "-m", "object_detection.main", *arguments]
    os.execv(python, command)  # noqa: S606 - the very point: no shell and no second process


def _publish(source: Path, link: Path) -> None:
    """Say where the detector's code is, for models that want to be checked before their use."""
    new = link.with_name("next")
    new.unlink(missing_ok=True)
    new.symlink_to(source)
    new.replace(link)


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
