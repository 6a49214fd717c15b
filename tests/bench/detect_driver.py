"""Feeds a running detection line, or runs the bare loop it is measured against.

Only the standard library is used, so that it runs as text on a device (`ssh … python3 - line …`);
`bare` needs the detector's sources and the environment of verge.OnnxRuntime. Prints one JSON
document.

    line  --inbox DIR --source FILE --count N [--burst] -- SUBSCRIBER …
    bare  --card FILE --source FILE --count N --threads N

SUBSCRIBER is a command that prints each result that is published as one line of JSON.
"""

# What runs on a device as text needs no more than `os`.
# ruff: noqa: PTH104, PTH108, PTH118, PTH122, PTH123, PTH208
from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
import time
from typing import Any

PATIENCE = 60.0
"""Seconds without a result after which something is wrong."""


class Line:
    """The line as one who drops pictures and reads results sees it."""

    def __init__(self, inbox: str, source: str, subscriber: list[str]) -> None:
        self._inbox = inbox
        with open(source, "rb") as file:
            self._data = file.read()
        self._suffix = os.path.splitext(source)[1]
        self._run = f"bench-{os.getpid()}"
        self._results: queue.SimpleQueue[tuple[float, Any]] = queue.SimpleQueue()
        self._child = subprocess.Popen(
            subscriber, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._child.stdout
        assert self._child.stderr
        self._said, self._logged = self._child.stdout, self._child.stderr
        if not self._logged.readline():
            raise SystemExit(f"cannot subscribe: {subscriber} ended")
        for target in (self._read, self._drain):
            threading.Thread(target=target, daemon=True).start()

    def close(self) -> None:
        self._child.terminate()
        self._child.communicate()
        for name in os.listdir(self._inbox):
            if name.startswith((self._run, f".{self._run}")):
                os.unlink(os.path.join(self._inbox, name))

    def one_by_one(self, count: int) -> list[dict[str, Any]]:
        """Return seconds from closing a file to its result, and the result's timings."""
        found = []
        for number in range(count):
            path = self._write(f"{self._run}-{number}{self._suffix}")
            closed = time.monotonic()
            arrived, document = self._wait(path)
            found.append({"seconds": arrived - closed, "timings": document["timings_ms"]})
        return found

    def burst(self, count: int) -> float:
        """Return seconds from the first file to the last of the results."""
        parts = [self._write(f".{self._run}-burst-{n}{self._suffix}") for n in range(count)]
        wanted = set()
        began = time.monotonic()
        for part in parts:
            folder, name = os.path.split(part)
            path = os.path.join(folder, name[1:])
            os.rename(part, path)
            wanted.add(path)
        last = began
        while wanted:
            last, document = self._next()
            wanted.discard(document["picture"]["path"])
        return last - began

    def _write(self, name: str) -> str:
        path = os.path.join(self._inbox, name)
        with open(path, "wb") as file:
            file.write(self._data)
        return path

    def _wait(self, path: str) -> tuple[float, Any]:
        while True:
            arrived, document = self._next()
            if document["picture"]["path"] == path:
                return arrived, document

    def _next(self) -> tuple[float, Any]:
        try:
            return self._results.get(timeout=PATIENCE)
        except queue.Empty:
            raise SystemExit(f"no result came within {PATIENCE:g} s") from None

    def _read(self) -> None:
        for line in self._said:
            arrived = time.monotonic()
            self._results.put((arrived, json.loads(line)))

    def _drain(self) -> None:
        for _ in self._logged:
            pass


def run_bare(card_path: str, source: str, count: int, threads: int | None) -> list[float]:
    """Return seconds for decode and `session.run`, picture after picture, whole pictures."""
    import pathlib

    from object_detection import card, decode, preprocess, session

    described = card.read_card(pathlib.Path(card_path))
    loaded = session.load_session(described, session.Running(threads=threads))
    took = []
    for _ in range(count):
        began = time.monotonic()
        picture = decode.read_picture(source, 10**9)
        tensor, _ = preprocess.prepare_input(picture.pixels, described.input)
        loaded.run(tensor)
        took.append(time.monotonic() - began)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    line = commands.add_parser("line")
    line.add_argument("--inbox", required=True)
    line.add_argument("--burst", action="store_true")
    line.add_argument("subscriber", nargs="+")
    bare = commands.add_parser("bare")
    bare.add_argument("--card", required=True)
    bare.add_argument("--threads", type=int, default=None)
    for command in (line, bare):
        command.add_argument("--source", required=True)
        command.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    if options.command == "bare":
        json.dump(
            run_bare(options.card, options.source, options.count, options.threads), sys.stdout
        )
        return
    running = Line(options.inbox, options.source, options.subscriber)
    try:
        work = running.burst if options.burst else running.one_by_one
        json.dump(work(options.count), sys.stdout)
    finally:
        running.close()


if __name__ == "__main__":
    main()
