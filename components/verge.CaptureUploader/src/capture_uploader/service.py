"""Look at every result once, and put the pictures worth a look into the spool.

Messages say what is new; the detector's stored results say what was missed while this component
was down, so no message has to be kept.
"""

from __future__ import annotations

import json
import logging
import os
import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_ipc import nucleus as ipc
from edge_ipc import values

from capture_uploader import choice, settings, spool, upload

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_ipc.link import Link

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Result:
    """A document on the topic of results."""

    document: Any


@dataclass(frozen=True)
class _Changed:
    """The configuration changed."""


@dataclass(frozen=True)
class Stop:
    """Leave, with this exit code, for this reason."""

    code: int
    reason: str


class Inbox:
    """What happened, in order; safe to fill from any thread."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Result | _Changed | Stop] = queue.SimpleQueue()
        self.take = self._queue.get

    def put_document(self, document: Any) -> None:
        """Take a result."""
        self._queue.put(_Result(document))

    def put_change(self) -> None:
        """Note that the configuration changed."""
        self._queue.put(_Changed())

    def put_stop(self, code: int, reason: str) -> None:
        """Ask the service to leave."""
        self._queue.put(Stop(code, reason))


class Service:
    """The uploader at work."""

    def __init__(
        self, link: Link, inbox: Inbox, captures: spool.Spool, client: Callable[[], Any]
    ) -> None:
        """Read the configuration. Raises SettingError or NucleusError."""
        self._link = link
        self._inbox = inbox
        self._spool = captures
        self._settings = settings.read_settings(link.read_configuration())
        self._uploader = upload.Uploader(captures, lambda: self._settings, client)
        self._subscription: Any = None

    def start(self) -> None:
        """Subscribe, catch up on what was missed, begin to upload. Raises NucleusError."""
        try:
            self._link.watch_configuration(self._inbox.put_change)
        except ipc.NucleusError as error:
            _log.warning("Configuration changes need a restart reason=%s", error)
        else:
            self._inbox.put_change()  # It may have changed since it was read.
        # First the subscription: what comes while the stored results are read is in the inbox.
        self._subscribe()
        self._catch_up(self._settings.results_directory)
        self._uploader.start()
        self._link.report_running()
        _log.info("Ready waiting=%d bucket=%s", self._spool.waiting()[0], self._settings.bucket)

    def run(self) -> int:
        """Work until asked to stop; return the exit code."""
        while True:
            match self._inbox.take():
                case Stop(code, reason):
                    _log.info("Stopping reason=%s", reason)
                    self._uploader.stop()
                    return code
                case _Result(document):
                    self._consider(document)
                case _Changed():
                    self._reconfigure()

    def _subscribe(self) -> None:
        former = self._subscription
        self._subscription = self._link.subscribe(
            self._settings.result_topic, self._inbox.put_document
        )
        if former is not None:
            former.close()

    def _catch_up(self, folder: Path) -> None:
        """Look at the stored results, oldest first."""
        try:
            with os.scandir(folder) as entries:
                found = [
                    entry
                    for entry in entries
                    if entry.name.endswith(".json") and not entry.name.startswith(".")
                ]
        except OSError as error:
            _log.info("No stored results yet directory=%s reason=%s", folder, error.strerror)
            return
        dated = ((_changed_at(entry), entry.path) for entry in found)
        for _, path in sorted((time, path) for time, path in dated if time is not None):
            # The name is the id: what is known need not be read.
            if not self._spool.knows(os.path.basename(path).removesuffix(".json")):  # noqa: PTH119
                self._consider(_read(path))

    def _consider(self, document: Any) -> None:
        result = choice.read_result(document)
        if result is None:
            return
        if result.is_truncated:
            stored = self._settings.results_directory / f"{result.id}.json"
            result = choice.read_result(_read(str(stored))) or result
        try:
            if self._spool.knows(result.id):
                return
            if choice.is_wanted(result, self._settings):
                self._take(result)
            else:
                self._spool.pass_over(result)
        except spool.SpoolError as error:
            # Without a row it is looked at again after a restart.
            _log.error("Capture not kept id=%s reason=%s", result.id, error)

    def _take(self, result: choice.Result) -> None:
        wanted = self._settings
        oldest_goes = wanted.when_full == settings.DROP_OLDEST
        try:
            dropped = self._spool.take(result, wanted.most_bytes, drop_oldest=oldest_goes)
        except (spool.FullError, spool.PictureGoneError) as error:
            _log.warning("Picture passed over id=%s reason=%s", result.id, error)
            self._spool.pass_over(result)
            return
        for identity in dropped:
            _log.warning("Capture dropped id=%s reason=the spool is full", identity)
        _log.info("Capture kept id=%s score=%.2f path=%r", result.id, result.score, result.picture)

    def _reconfigure(self) -> None:
        """Take the new configuration; if it cannot be used, keep the former."""
        former = self._settings
        try:
            self._settings = settings.read_settings(self._link.read_configuration())
            if self._settings.result_topic != former.result_topic:
                self._subscribe()
        except (values.SettingError, ipc.NucleusError) as error:
            self._settings = former
            _log.error("Configuration kept as it was reason=%s", error)
            return
        if self._settings == former:
            return
        _log.info("Configuration changed settings=%s", self._settings)
        self._uploader.settings_changed()


def _changed_at(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat().st_mtime_ns
    except OSError:
        return None  # The detector keeps only so many, and removes them while this looks.


def _read(path: str) -> Any:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - thousands of them at start
            return json.load(file)
    except (OSError, ValueError):
        return None
