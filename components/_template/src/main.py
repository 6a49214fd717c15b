"""Say a greeting every few seconds until told to stop.

Runs on the device's own Python with the standard library alone. A component that needs packages
installs them as verge.OnnxRuntime does: from the wheelhouse, into its own environment.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Greet until SIGTERM, which is how a nucleus stops a component."""
    options = _read_arguments(arguments)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    device = os.environ.get("AWS_IOT_THING_NAME", "an unknown device")
    # What is printed ends up in the component's log.
    while True:
        print(f"{options.greeting} from {device}", flush=True)
        if stopped.wait(options.interval):
            print("Stopping", flush=True)
            return 0


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--greeting", required=True)
    parser.add_argument("--interval", required=True, type=_seconds)
    return parser.parse_args(arguments)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds within a day")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
