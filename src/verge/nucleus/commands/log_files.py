"""`verge-nucleus logs get`, `list-log-files` and `list-keywords`: searches JSON logs."""

from __future__ import annotations

import argparse
import collections
import contextlib
import heapq
import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from verge.nucleus import logs, paths, settings
from verge.nucleus.commands import connection, inotify, log_search

KEYWORDS = {
    "level": "$level=str",
    "thread": "$thread=str",
    "loggerName": "$loggerName=str",
    "eventType": "$eventType=str",
    "serviceName": "$serviceName=str",
    "scriptName": "$scriptName=str",
    "currentState": "$currentState=str",
}

_COLOURS = {"WARN": "\033[33m", "ERROR": "\033[31m", "FATAL": "\033[31m"}


def get(arguments: argparse.Namespace) -> int:
    """Print the wanted lines of JSON logs in the order of their times."""
    if arguments.syslog:
        raise connection.CommandError(
            "cannot read the system's log; use journalctl --unit greengrass for it"
        )
    now = datetime.now(UTC)
    query = log_search.parse_query(arguments.time_window, arguments.filter, now)
    files = _Files(arguments)
    watcher = inotify.Watcher(modifications=True) if arguments.follow else None
    for directory in files.directories if watcher else ():
        watcher.watch(directory)  # type: ignore[union-attr]  # there is one
    _print(_with_neighbours(files.unread(), query, arguments), arguments)
    if watcher:
        open_ended = log_search.Query((), query.groups)  # a window ends, following goes on
        while watcher.wait():
            _print(_with_neighbours(files.unread(), open_ended, arguments), arguments)
    return 0


def list_files(arguments: argparse.Namespace) -> int:
    """Print the log files that there are."""
    files = [str(file) for file in _Files(arguments).present()]
    print(json.dumps({"files": files}) if arguments.json else "\n".join(files))
    return 0


def list_keywords(arguments: argparse.Namespace) -> int:
    """Print the fields that a filter may name."""
    if arguments.json:
        print(json.dumps({"keywords": list(KEYWORDS)}))
    else:
        print("Here is a list of suggested keywords for Greengrass log:")
        print("\n".join(f"{key}={form}" for key, form in KEYWORDS.items()))
    return 0


class _Files:
    """The files that are asked for, and how far each was read."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Find them. Raises CommandError for one that is not there."""
        self._named = [Path(name) for name in getattr(arguments, "log_file", [])]
        self._directories = [Path(name) for name in arguments.log_dir]
        if not self._named and not self._directories:
            self._directories = [paths.Paths(arguments.root).logs]
        for path in [*self._named, *self._directories]:
            if not path.exists():
                raise connection.CommandError(
                    f"cannot read {path}: there is no such file or directory"
                )
        self._ends: dict[tuple[int, int], int] = {}
        """In bytes, by device and inode: a file that is set aside changes no more than its name."""
        for part in self._set_aside():
            with contextlib.suppress(FileNotFoundError):
                facts = part.stat()
                self._ends[facts.st_dev, facts.st_ino] = facts.st_size

    @property
    def directories(self) -> set[Path]:
        """The directories in which the files change."""
        return {*self._directories, *(file.parent for file in self._named)}

    def present(self) -> list[Path]:
        """Return the files that there are now."""
        found = (file for each in self._directories for file in sorted(each.iterdir()))
        return [*self._named, *(file for file in found if file.suffix == ".log")]

    def unread(self) -> Iterator[log_search.Entry]:
        """Yield what was not read yet, in the order of times."""
        parts = [
            part for file in [*self.present(), *self._set_aside()] if (part := self._take(file))
        ]
        return heapq.merge(*parts, key=lambda entry: entry.time)

    def _set_aside(self) -> list[Path]:
        """Return what named files were until they were set aside."""
        limits = settings.LogSettings()
        logs_named = [logs.LogFile(file.parent, file.stem, limits) for file in self._named]
        return [part for log in logs_named for part in log.older_parts()]

    def _take(self, file: Path) -> Iterator[log_search.Entry] | None:
        """Return what a file holds beyond its known end, and move the end."""
        try:
            opened = file.open("rb")
        except FileNotFoundError:
            return None  # it was set aside just now, or removed as the oldest
        facts = os.fstat(opened.fileno())
        identity = facts.st_dev, facts.st_ino
        known = self._ends.get(identity, 0)
        opened.seek(known if known <= facts.st_size else 0)  # a new file got the number of one gone
        self._ends[identity] = facts.st_size
        return _read(file, opened, facts.st_size)


def _read(file: Path, opened: BinaryIO, end: int) -> Iterator[log_search.Entry]:
    others = 0
    with opened:
        while opened.tell() < end and (line := opened.readline()):
            if entry := log_search.parse_line(line.decode("utf-8", "replace")):
                yield entry
            else:
                others += 1
    if others:
        print(
            f"{file}: {others} lines are not JSON and were left out; set logging.format to JSON",
            file=sys.stderr,
        )


def _with_neighbours(
    entries: Iterator[log_search.Entry], query: log_search.Query, arguments: argparse.Namespace
) -> Iterator[log_search.Entry]:
    """Yield what matches, with the asked number of lines before and after it."""
    before: collections.deque[log_search.Entry] = collections.deque(maxlen=arguments.before)
    after = 0
    for entry in entries:
        if query.matches(entry):
            yield from before
            before.clear()
            yield entry
            after = arguments.after
        elif after:
            after -= 1
            yield entry
        else:
            before.append(entry)


def _print(entries: Iterator[log_search.Entry], arguments: argparse.Namespace) -> None:
    coloured = sys.stdout.isatty() and not arguments.no_color and "NO_COLOR" not in os.environ
    for entry in entries:
        if arguments.json or arguments.verbose:
            print(json.dumps(entry.document, ensure_ascii=False))
            continue
        colour = _COLOURS.get(str(entry.document.get("level")), "") if coloured else ""
        print(f"{colour}{entry}\033[0m" if colour else entry)
    sys.stdout.flush()
