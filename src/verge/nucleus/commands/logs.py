"""`verge-nucleus logs`: reads the log files; no nucleus needs to run."""

from __future__ import annotations

import argparse
import collections
import contextlib
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
    opened = _open(file)
    lines = last_lines(opened, file, arguments.lines)
    if arguments.json and not arguments.follow:
        print(json.dumps({"name": arguments.name, "lines": [x.rstrip("\n") for x in lines]}))
        return 0
    for line in itertools.chain(lines, _follow(opened, file) if arguments.follow else ()):
        # A log that is followed has no end, so it is one document for every line.
        text = json.dumps({"line": line.rstrip("\n")}) + "\n" if arguments.json else line
        sys.stdout.write(text)
        sys.stdout.flush()
    return 0


def last_lines(opened: TextIO, file: Path, count: int) -> list[str]:
    """Return the last lines of an open log, out of its older parts too if need be."""
    found = collections.deque(opened, maxlen=count)
    older = logs.LogFile(file.parent, file.stem, settings.LogSettings()).older_parts()
    for part in reversed(older):
        if len(found) >= count:
            break
        with contextlib.suppress(FileNotFoundError), _open(part) as former:
            if not _same(former, opened):  # else it was set aside just now
                lines = collections.deque(former, maxlen=count - len(found))
                found.extendleft(reversed(lines))
    return list(found)


def _follow(opened: TextIO, file: Path) -> Iterator[str]:
    """Yield what comes after what was read, in whatever file has the name by then.

    It ends when nobody is left who reads it.
    """
    reader = select.poll()
    reader.register(sys.stdout, 0)  # that it has gone is told in any case
    while not reader.poll(INTERVAL * 1000):
        yield from opened
        if following := _successor(file, opened):
            yield from opened  # what was written before the file was set aside
            opened.close()
            opened = following


def _successor(file: Path, opened: TextIO) -> TextIO | None:
    """Return the file that has taken the place of an opened one, if there is another there."""
    try:
        found = _open(file)
    except FileNotFoundError:
        return None  # it is being set aside
    if not _same(found, opened):
        return found
    found.close()
    return None


def _same(one: TextIO, other: TextIO) -> bool:
    return os.path.sameopenfile(one.fileno(), other.fileno())


def _open(file: Path) -> TextIO:
    return file.open(encoding="utf-8", errors="replace")
