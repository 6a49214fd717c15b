"""How a component's process logs, is asked to stop and ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable


def prepare(stop: Callable[[int, str], None]) -> None:
    """Log to standard output, and turn SIGTERM and SIGINT into `stop(0, name of the signal)`."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: stop(0, signal.strsignal(number) or ""))


def leave(code: int) -> NoReturn:
    """End the process at once, whatever its threads are at."""
    sys.stdout.flush()
    os._exit(code)
