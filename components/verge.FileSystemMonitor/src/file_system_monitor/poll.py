"""Look at directories again and again, where no events come.

Every directory has a thread of its own, so a server that does not answer holds up nobody else.
A file counts as complete once two looks that are far enough apart found it unchanged; the clock of
the server is never compared with ours.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from file_system_monitor import states

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from file_system_monitor.settings import Settings
    from file_system_monitor.states import Sighting

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settled:
    """A file was found unchanged, or something that is none."""

    sighting: Sighting


class Poller:
    """Looks at any number of directories."""

    def __init__(self, report: Callable[[Settled], None]) -> None:
        self._report = report
        self._stops: dict[Path, threading.Event] = {}

    def add(self, directory: Path, settings: Settings) -> None:
        """Look at a directory from now on, whether it exists or not."""
        stop = self._stops[directory] = threading.Event()
        look = _Look(directory, settings, self._report)
        # A thread that hangs on its server must not keep the process.
        threading.Thread(target=look.repeat, args=(stop,), daemon=True).start()

    def remove(self, directory: Path) -> None:
        """Look at a directory no longer."""
        if stop := self._stops.pop(directory, None):
            stop.set()

    def clear(self) -> None:
        """Look at nothing."""
        for directory in list(self._stops):
            self.remove(directory)


class _Look:
    """What one thread knows of its directory."""

    def __init__(
        self, directory: Path, settings: Settings, report: Callable[[Settled], None]
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._report = report
        self._since: dict[str, tuple[Sighting, float]] = {}
        self._reported: dict[str, Sighting] = {}
        self._said = ""

    def repeat(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._once(time.monotonic(), stop)
            stop.wait(self._settings.poll_every)

    def _once(self, now: float, stop: threading.Event) -> None:
        self._say(_reason(self._directory))
        found = {one.place: one for one in states.find(self._directory, self._settings)}
        if stop.is_set():
            return
        self._reported = {p: s for p, s in self._reported.items() if found.get(p) == s}
        waiting = {}
        for place, sighting in found.items():
            if self._reported.get(place) == sighting:
                continue
            former, since = self._since.get(place, (None, now))
            if former != sighting:
                since = now
            if sighting.refusal == "not_a_file" or (
                former == sighting and now - since >= self._settings.settle
            ):
                self._reported[place] = sighting
                self._report(Settled(sighting))
            else:
                waiting[place] = (sighting, since)
        self._since = waiting

    def _say(self, reason: str) -> None:
        """Log a reason once, not at every look."""
        if reason == self._said:
            return
        self._said = reason
        if reason != _READABLE:
            _log.warning("Waiting for directory=%s reason=%s", self._directory, reason)
        else:
            _log.info(
                "Polling directory=%s every_seconds=%g", self._directory, self._settings.poll_every
            )


_READABLE = "it can be read"


def _reason(directory: Path) -> str:
    try:
        with os.scandir(directory):
            return _READABLE
    except OSError as error:
        return error.strerror or type(error).__name__
