"""`verge-nucleus`, which SIGUSR1 lets kill itself at a write point from then on.

    PYTHONPATH=src python tests/support/armed_nucleus.py serve --root ROOT

The number of the point stands in the file that VERGE_POINT names, 0 for none; it is removed when it
has been read.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from verge.nucleus import cli, faults


def arm(*_: object) -> None:
    """Kill this process at the point that the file tells."""
    file = Path(os.environ["VERGE_POINT"])
    faults.arm(int(file.read_text()))
    file.unlink()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, arm)
    sys.exit(cli.main())
