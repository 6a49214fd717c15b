"""Runs the command line as `python -m verge.cloud`."""

from __future__ import annotations

import sys

from verge.cloud import cli

sys.exit(cli.main())
