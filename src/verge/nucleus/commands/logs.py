"""`verge-nucleus logs`: reads the log files; no nucleus needs to run."""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from verge.nucleus import logs, paths, settings
from verge.nucleus.commands import connection

INTERVAL = 0.25
"""Seconds between two looks while following, short enough to read along."""


def show(arguments: argparse.Namespace) -> int:
    """Print the end of a log, and go on if asked to."""
    directory = paths.Paths(arguments.root).logs
    file = directory / f"{arguments.name}.log"
    if "/" in arguments.name or not file.is_file():
        raise connection.CommandError(
            f"cannot show the log of {arguments.name}: there is no {file}; "
            "verge-nucleus list shows the components"
        )
    lines = last_lines(file, arguments.lines)
    if arguments.json and not arguments.follow:
        print(json.dumps({"name": arguments.name, "lines": [x.rstrip("\n") for x in lines]}))
        return 0
    for line in itertools.chain(lines, _follow(file) if arguments.follow else ()):
        # A log that is followed has no end, so it is one document for every line.
        text = json.dumps({"line": line.rstrip("\n")}) + "\n" if arguments.json else line
        sys.stdout.write(text)
        sys.stdout.flush()
    return 0


def last_lines(file: Path, count: int) -> list[str]:
    """Return the last lines of a log, out of its older parts too if need be."""
    found: collections.deque[str] = collections.deque()
    older = logs.LogFile(file.parent, file.stem, settings.LogSettings()).older_parts()
    for part in [file, *reversed(older)]:
        with part.open(encoding="utf-8", errors="replace") as opened:
            lines = collections.deque(opened, maxlen=max(count - len(found), 0))
        found.extendleft(reversed(lines))
        if len(found) >= count:
            break
    return list(found)


def _follow(file: Path) -> Iterator[str]:
    """Yield new lines until nobody is left who reads them."""
    reader = select.poll()
    reader.register(sys.stdout, 0)  # that it has gone is told in any case
    opened: TextIO = file.open(encoding="utf-8", errors="replace")
    opened.seek(0, 2)
    try:
        while not reader.poll(INTERVAL * 1000):
            yield from opened
            if following := _successor(file, opened):
                yield from opened  # what came before the file was set aside
                opened.close()
                opened = following
    finally:
        opened.close()


def _successor(file: Path, opened: TextIO) -> TextIO | None:
    """Return the file that has taken the place of an opened one, if there is another there."""
    try:
        found = file.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    if not os.path.sameopenfile(found.fileno(), opened.fileno()):
        return found
    found.close()
    return None
