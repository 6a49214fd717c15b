"""What people and programs read: progress on stderr, answers on stdout.

Marks: `*` a step, `>` what it does, `ERROR` and `TIP` a failure and its next step.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from verge.fleet import errors

ERROR = "ERROR"
TIP = "TIP"

_BOLD, _DIM, _RED, _CYAN, _PLAIN = "\033[1m", "\033[2m", "\033[31m", "\033[36m", "\033[0m"
_CLEAR_LINE = "\r\033[K"


def _colours(stream: Any) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ


def _style(text: str, code: str, stream: Any) -> str:
    return f"{code}{text}{_PLAIN}" if _colours(stream) else text


class Reporter:
    """Shows the progress of long work on stderr."""

    def __init__(self) -> None:
        self._transient = False

    def step(self, text: str) -> None:
        """Announce a step."""
        self._write(f"{_style('*', _CYAN, sys.stderr)} {_style(text, _BOLD, sys.stderr)}")

    def detail(self, text: str) -> None:
        """Say what a step did."""
        self._write(f"  {_style('>', _DIM, sys.stderr)} {text}")

    def now(self, text: str) -> None:
        """Show what is being done, on a terminal only; the next line replaces it."""
        if sys.stderr.isatty():
            width = max(20, os.get_terminal_size(sys.stderr.fileno()).columns - 6)
            sys.stderr.write(f"{_CLEAR_LINE}    {_style(text[:width], _DIM, sys.stderr)}")
            sys.stderr.flush()
            self._transient = True

    def clear(self) -> None:
        """Remove the line that `now` left."""
        if self._transient:
            sys.stderr.write(_CLEAR_LINE)
            self._transient = False

    def _write(self, line: str) -> None:
        self.clear()
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def render_error(error: errors.FleetError) -> str:
    """Return the lines that show an error and its next step."""
    lines = [f"{_style(ERROR, _RED, sys.stderr)} {error}"]
    if error.hint:
        lines.append(f"{TIP} {error.hint}")
    return "\n".join(lines)


def print_json(document: Any) -> None:
    """Print one machine-readable document on stdout."""
    print(json.dumps(document, indent=2, sort_keys=True))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table on stdout, as wide as its content when stdout is no terminal."""
    from rich import box, console, table

    shown = table.Table(
        *columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for row in rows:
        shown.add_row(*row)
    width = None if sys.stdout.isatty() else 160
    console.Console(width=width, highlight=False, markup=False).print(shown)
