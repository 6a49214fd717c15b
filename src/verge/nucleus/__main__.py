"""Runs the command line as `python -m verge.nucleus`."""

from __future__ import annotations

import sys

from verge.nucleus import cli

sys.exit(cli.main())
