"""`verge-nucleus serve`."""

from __future__ import annotations

import argparse

from verge.nucleus import daemon


def serve(arguments: argparse.Namespace) -> int:
    """Run the nucleus until it is asked to stop."""
    return daemon.run(arguments.root)
