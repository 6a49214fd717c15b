"""Feeds a running detection line, or runs the bare loop it is measured against.

It runs as text on a device (`ssh … python3 - line …`). `line` needs the Python of the nucleus,
`bare` the detector's sources and the environment of verge.OnnxRuntime. Prints one JSON document.

    line  --root ROOT --inbox DIR --source FILE --count N [--burst]
    bare  --card FILE --source FILE --count N --threads N

ROOT is that of the nucleus, whose local messages are listened to as the user who runs this.
"""

# What runs on a device as text needs no more than `os`.
# ruff: noqa: PTH104, PTH108, PTH118, PTH122, PTH123, PTH208
from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import sys
import time
from typing import Any

RESULTS = "verge/detections"
PATIENCE = 60.0
"""Seconds without a result after which something is wrong."""


class Line:
    """The line as one who drops pictures and reads results sees it."""

    def __init__(self, root: str, inbox: str, source: str) -> None:
        from verge.nucleus.commands import connection

        self._inbox = inbox
        with open(source, "rb") as file:
            self._data = file.read()
        self._suffix = os.path.splitext(source)[1]
        self._run = f"bench-{os.getpid()}"
        self._open = contextlib.ExitStack()
        nucleus = self._open.enter_context(connection.connect(pathlib.Path(root)))
        self._events = nucleus.subscribe("SubscribeToTopic", {"topic": RESULTS}, PATIENCE)

    def close(self) -> None:
        self._open.close()
        for name in os.listdir(self._inbox):
            if name.startswith((self._run, f".{self._run}")):
                os.unlink(os.path.join(self._inbox, name))

    def one_by_one(self, count: int) -> list[dict[str, Any]]:
        """Return seconds from closing a file to its result, and the result's timings."""
        found = []
        for number in range(count):
            path = self._write(f"{self._run}-{number}{self._suffix}")
            closed = time.monotonic()
            while (document := self._next())["picture"]["path"] != path:
                pass
            seconds = time.monotonic() - closed
            found.append({"seconds": seconds, "timings": document["timings_ms"]})
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
        while wanted:
            wanted.discard(self._next()["picture"]["path"])
        return time.monotonic() - began

    def _write(self, name: str) -> str:
        path = os.path.join(self._inbox, name)
        with open(path, "wb") as file:
            file.write(self._data)
        return path

    def _next(self) -> Any:
        try:
            return next(self._events)["jsonMessage"]["message"]
        except TimeoutError:
            raise SystemExit(f"no result came within {PATIENCE:g} s") from None


def run_bare(card_path: str, source: str, count: int, threads: int | None) -> list[float]:
    """Return seconds for decode and `session.run`, picture after picture, whole pictures."""
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
    line.add_argument("--root", required=True)
    line.add_argument("--inbox", required=True)
    line.add_argument("--burst", action="store_true")
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
    running = Line(options.root, options.inbox, options.source)
    try:
        work = running.burst if options.burst else running.one_by_one
        json.dump(work(options.count), sys.stdout)
    finally:
        running.close()


if __name__ == "__main__":
    main()
