"""The local cloud as it is some time later: the clock of its process is ahead.

    later_cloud.py SECONDS serve ...

So the process that users run shows in seconds what it does after minutes.
"""

from __future__ import annotations

import sys
import time


def main() -> int:
    """Set the clock ahead, then run the command line."""
    seconds, now = float(sys.argv[1]), time.time

    def later() -> float:
        return now() + seconds

    time.time = later
    from verge.cloud import cli  # its parts keep the clock that they find when they are loaded

    return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
