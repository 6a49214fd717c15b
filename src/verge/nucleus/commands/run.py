"""`verge-nucleus run`: tries a component directory on this machine, and again on every save."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from verge.nucleus import paths, settings
from verge.nucleus.commands import connection, deploy, inotify, workbench

QUIET = 0.15
"""Seconds without a further change after which a save is taken to be complete."""

SETTLE = 0.3
"""Seconds that a component must stay up; whoever watches the output needs no longer proof."""

START_LIMIT = 20.0
"""Seconds in which the nucleus has to answer."""

RESTARTING = frozenset({100, 101})
"""Exit codes with which the nucleus asks to be started again."""


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C; nothing is left behind."""
    directory = Path(arguments.directory)
    with _temporary() as top, _terminable():
        bench = workbench.Workbench(directory, top / "release")
        sources = bench.build()
        where = _configure(top)
        with _Nucleus(where, top / "errors") as nucleus:
            try:
                return _Session(arguments, bench, where, nucleus).run(sources)
            except KeyboardInterrupt:
                _say("\n* Stopping")
                return 0


@contextlib.contextmanager
def _temporary() -> Iterator[Path]:
    # A Unix socket's path is short, so the directory lies close to the root.
    top = Path(tempfile.mkdtemp(prefix="verge-run-", dir="/tmp"))
    try:
        yield top
    finally:
        shutil.rmtree(top, ignore_errors=True)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and the terminal's end clean up as Ctrl-C does, which may have been ignored."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    former = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, former, strict=True):
            signal.signal(number, handler)


def _configure(top: Path) -> paths.Paths:
    where = paths.Paths(top / "root")
    where.config_file.parent.mkdir(parents=True)
    configuration = {
        "runWithDefault": {"posixUser": str(os.geteuid())},
        "logging": {"format": "JSON"},
        "verge": {"settleSeconds": SETTLE, "keepVersions": 1},
    }
    document = {
        "system": {"thingName": "laptop", "rootPath": str(where.root)},
        "services": {settings.NUCLEUS: {"configuration": configuration}},
    }
    where.config_file.write_text(json.dumps(document))
    return where


class _Nucleus:
    """A nucleus process that is started again when it asks for that."""

    def __init__(self, where: paths.Paths, errors: Path) -> None:
        self._where = where
        self._errors = errors
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._end = os.eventfd(0)
        self.ended = False

    def __enter__(self) -> _Nucleus:
        self._start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        if self._process:
            self._process.terminate()
        self._thread.join()
        os.close(self._end)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when it has ended for good."""
        return self._end

    def wait_until_ready(self) -> None:
        """Wait until it answers. Raises CommandError."""
        end = time.monotonic() + START_LIMIT
        while True:
            try:
                with connection.connect(self._where.root):
                    return
            except connection.CommandError:
                if self.ended or time.monotonic() > end:
                    reason = self._errors.read_text(errors="replace").strip()
                    raise connection.CommandError(
                        f"cannot start a nucleus: {reason or 'it does not answer'}"
                    ) from None
                time.sleep(0.02)

    def _start(self) -> None:
        with self._errors.open("ab") as errors:
            # A session of its own, so that Ctrl-C reaches this process alone.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "verge.nucleus", "serve", "--root", str(self._where.root)],
                stderr=errors,
                start_new_session=True,
            )

    def _keep(self) -> None:
        while self._process:
            code = self._process.wait()
            if self._stopping or code not in RESTARTING:
                self.ended = True
                os.eventfd_write(self._end, 1)
                return
            self._start()


class _Session:
    """Deploys, shows the output, and deploys again when a file changes."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        bench: workbench.Workbench,
        where: paths.Paths,
        nucleus: _Nucleus,
    ) -> None:
        self._arguments = arguments
        self._bench = bench
        self._where = where
        self._nucleus = nucleus
        self._sources = inotify.Watcher()
        self._logs = inotify.Watcher(modifications=True)
        self._shown = 0

    def run(self, sources: list[Path]) -> int:
        """Show and repeat until the nucleus ends by itself or somebody interrupts."""
        for directory in sources:
            self._sources.watch(directory)
        self._nucleus.wait_until_ready()
        self._logs.watch(self._where.logs)
        self._deploy()
        while not self._nucleus.ended:
            awaited = [one.fileno() for one in (self._sources, self._logs, self._nucleus)]
            ready, _, _ = select.select(awaited, [], [])
            if self._logs.fileno() in ready:
                self._logs.drain()
                self._show_output()
            if self._sources.fileno() in ready:
                self._wait_for_quiet()
                self._reload()
        raise connection.CommandError("cannot go on: the nucleus has ended")

    def _wait_for_quiet(self) -> None:
        self._sources.drain()
        while self._sources.wait(QUIET):
            pass

    def _reload(self) -> None:
        try:
            for directory in self._bench.build():
                self._sources.watch(directory)
        except connection.CommandError as error:
            self._tell("refused", reason=str(error))
            return
        self._deploy()

    def _deploy(self) -> None:
        began = time.monotonic()
        request: dict[str, Any] = {
            "rootComponentVersionsToAdd": {self._bench.name: "*"},
            "recipeDirectoryPath": str(self._bench.recipes),
            "artifactsDirectoryPath": str(self._bench.artifacts),
            "failureHandlingPolicy": "DO_NOTHING",
        }
        if self._arguments.config:
            merge = deploy.load_document("--config", f'{{"merge": {self._arguments.config}}}')
            request["componentToConfiguration"] = {self._bench.name: {"MERGE": merge["merge"]}}
        with connection.connect(self._where.root) as nucleus:
            answer = nucleus.call("CreateLocalDeployment", request, deploy.TIMEOUT)
        found = deploy.wait(self._where.root, answer["deploymentId"], self._arguments.timeout)
        self._show_output()
        described = deploy.describe(found, self._where.root)
        seconds = round(time.monotonic() - began, 2)
        if described["status"] == "SUCCEEDED":
            self._tell("running", seconds=seconds)
        else:
            reason = (described["failure_cause"] or described["status"]).partition("\n")[0]
            self._tell("failed", seconds=seconds, reason=reason)

    def _show_output(self) -> None:
        file = self._where.logs / f"{self._bench.name}.log"
        try:
            opened = file.open("rb")
        except FileNotFoundError:
            return  # not begun yet, or set aside just now
        with opened:
            if os.fstat(opened.fileno()).st_size < self._shown:
                self._shown = 0  # it was set aside and begun anew
            opened.seek(self._shown)
            for line in opened:
                if not line.endswith(b"\n"):
                    break
                self._shown += len(line)
                self._show(json.loads(line))

    def _show(self, event: dict[str, Any]) -> None:
        if self._arguments.json:
            print(
                json.dumps(
                    {"event": "output", "stream": event["eventType"], "line": event["message"]}
                )
            )
        else:
            print(event["message"])
        sys.stdout.flush()

    def _tell(self, event: str, **fields: Any) -> None:
        if self._arguments.json:
            print(json.dumps({"event": event, "component": self._bench.name, **fields}), flush=True)
            return
        text = {
            "running": f"* {self._bench.name} runs ({fields.get('seconds')} s); save to reload",
            "failed": f"ERROR {fields.get('reason')}; correct it and save",
            "refused": f"ERROR {fields.get('reason')}",
        }[event]
        _say(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
