"""Watch, look, enter into the ledger, announce: the monitor's work, one thing at a time.

One thread does it. The pollers' threads and the connection's only put what happened into its inbox,
and so does the one that reads inotify, unless there is nothing else to do: then it does the work
itself, because a waking thread takes longer than all of it.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from edge_ipc import nucleus as ipc
from edge_ipc import values

from file_system_monitor import (
    announcer,
    directories,
    inbox,
    ledger,
    poll,
    settings,
    settling,
    states,
    watch,
)

if TYPE_CHECKING:
    from pathlib import Path

    from edge_ipc.link import Link

RETRY_SECONDS = 10.0
"""After this long a full or failing ledger is tried again with a look at the directories."""

_log = logging.getLogger(__name__)


class Service:
    """The monitor at work."""

    def __init__(
        self,
        link: Link,
        events: inbox.Inbox,
        watcher: watch.Watcher,
        book: ledger.Ledger,
        device: str,
    ) -> None:
        """Read the configuration. Raises SettingError or NucleusError."""
        self._link = link
        self._inbox = events
        self._ledger = book
        self._device = device
        self._directories = directories.Directories(watcher, poll.Poller(events.put_event))
        self._settings = settings.read_settings(link.read_configuration())
        self._subscriptions: dict[str, Any] = {}
        self._announcer = announcer.Announcer(link, book, device)
        self._settling = settling.Settling()
        self._next_check = 0.0
        self._next_count = 0.0
        self._rescan_at: float | None = None
        self._wakes_at = 0.0
        """When something is due, seconds of a monotonic clock."""

    def start(self) -> None:
        """Subscribe, look at the directories and report RUNNING. Raises NucleusError."""
        try:
            self._link.watch_configuration(self._inbox.put_change)
        except ipc.NucleusError as error:
            _log.warning("Configuration changes need a restart reason=%s", error)
        else:
            self._inbox.put_change()  # It may have changed since it was read.
        self._subscribe(self._settings.acknowledgement_topics)
        self._directories.configure(self._settings)
        self._check_directories()
        self._link.report_running()
        self._next_count = time.monotonic() + self._settings.counters_every
        _log.info("Ready open=%d topic=%s", self._ledger.open_count(), self._settings.topic)

    def run(self) -> int:
        """Work until asked to stop; return the exit code."""
        self._announce()
        self._inbox.lend(self._take_at_once)
        while True:
            item = self._inbox.take(self._wakes_at - time.monotonic())
            with self._inbox.turn():
                if isinstance(item, inbox.Stop):
                    return self._leave(item)
                self._handle(item)
                self._keep_time()
                self._announce()

    def _take_at_once(self, event: watch.Completed) -> None:
        """Do on the thread that reads inotify what `run` would do."""
        sleeps_until = self._wakes_at
        try:
            self._handle(event)
            self._announce()
        except Exception:  # noqa: BLE001 - watchdog would only end its thread
            _log.exception("A file was not taken path=%r", event.path)
            self._inbox.put_stop(1, "a file was not taken")
        if self._wakes_at < sleeps_until:
            self._inbox.wake()

    def _leave(self, asked: inbox.Stop) -> int:
        for answer in self._inbox.take_answers():
            self._announcer.answered(answer.id)
        if asked.code == 0:  # Otherwise there is no nucleus that would listen.
            self._announcer.report_counters(self._settings)
        _log.info("Stopping reason=%s", asked.reason)
        return asked.code

    def _announce(self) -> None:
        self._announcer.announce(self._settings)
        self._wakes_at = self._deadline()

    def _handle(self, item: inbox.Item | None) -> None:
        match item:
            case watch.Completed(path):
                self._completed(path)
            case watch.Created(path):
                self._created(path)
            case poll.Settled(sighting):
                self._note(sighting)
            case inbox.Answered(identity, changed):
                self._announcer.answered(identity)
                if changed:
                    self._look_again(identity)
            case watch.Appeared(path):
                self._appeared(path)
            case watch.Vanished(path):
                _log.info("Directory vanished path=%s", path)
                self._directories.vanished(path)
                self._next_check = 0.0
                if os.path.isdir(path):  # noqa: PTH112 - text, as everywhere here
                    # What stands there came before this was told, and lost its watch just now.
                    self._appeared(path)
            case watch.Overflowed():
                _log.warning("Events were lost, looking at all directories")
                self._rescan_at = 0.0
            case inbox.Changed():
                self._reconfigure()
            case None:
                pass

    def _keep_time(self) -> None:
        """Do what is due by the clock."""
        now = time.monotonic()
        if self._rescan_at is not None and self._rescan_at <= now:
            self._rescan_at = None
            self._directories.reset()
            self._next_check = 0.0
        if self._next_check <= now:
            self._check_directories()
        for sighting in self._settling.take_due(now):
            self._settle(sighting)
        if self._next_count <= now:
            self._announcer.report_counters(self._settings)
            self._next_count = now + self._settings.counters_every

    def _deadline(self) -> float:
        times = [
            self._next_check,
            self._next_count,
            self._rescan_at,
            self._settling.next_due(),
            self._announcer.next_due(self._settings),
        ]
        return min(time for time in times if time is not None)

    def _completed(self, path: str) -> None:
        """Note a file that an event says is complete."""
        self._settling.forget(path)
        if sighting := self._look(path):
            self._note(sighting)

    def _created(self, path: str) -> None:
        """Take a new name for something that nobody writes under it."""
        if sighting := self._look(path):
            self._settle(sighting, first=True)

    def _look_again(self, identity: str) -> None:
        """Look at a file that was another when it was announced.

        Mostly an event tells of it. Where only its time was set, as copying may do, none comes.
        """
        try:
            path = self._ledger.path_of(identity)
        except ledger.LedgerError as error:
            _log.error("File not looked at again id=%s reason=%s", identity, error)
            self._rescan_at = time.monotonic() + RETRY_SECONDS
            return
        if path is not None:
            self._created(path)

    def _look(self, path: str) -> states.Sighting | None:
        wanted = self._settings.matches(path.rpartition("/")[2])
        return states.look(path, self._settings.largest) if wanted else None

    def _appeared(self, path: str) -> None:
        self._created(path)
        if self._settings.recursive and not self._settings.leaves_out(path.rpartition("/")[2]):
            self._directories.watch_below(path)
            self._scan(path)

    def _check_directories(self) -> None:
        for path in self._directories.check():
            self._scan(path)
        self._next_check = time.monotonic() + self._directories.interval()

    def _scan(self, directory: Path | str) -> None:
        """Look for files whose events were missed; the watch must be there already."""
        for sighting in states.find(directory, self._settings):
            self._settle(sighting, first=True)

    def _settle(self, sighting: states.Sighting, *, first: bool = False) -> None:
        """Note a file found by looking once it stayed unchanged for the settling time.

        No event says that it is complete: its writer may be in the middle of it, and closing it
        will then bring the event.
        """
        now = states.look(sighting.place, self._settings.largest)
        if now is None:
            return
        age = time.time() - now.file.mtime_ns / 1e9
        unchanged = now == sighting and (age >= self._settings.settle or not first)
        if unchanged or now.refusal == "not_a_file":
            self._note(now)
        else:
            self._settling.wait(now, time.monotonic() + self._settings.settle)

    def _note(self, sighting: states.Sighting) -> None:
        """Enter a complete file into the ledger; where that fails, look for it again later."""
        try:
            replaced = self._enter(sighting)
        except ledger.LedgerError as error:
            if self._rescan_at is None:
                _log.error("File waits path=%r reason=%s", sighting.file.path, error)
                self._rescan_at = time.monotonic() + RETRY_SECONDS
            return
        self._announcer.counts.seen += replaced is not None
        for identity in replaced or []:
            self._announcer.drop(identity)

    def _enter(self, sighting: states.Sighting) -> list[str] | None:
        identity = sighting.file.identity(self._device)
        try:
            return self._ledger.add(identity, sighting.file, sighting.refusal)
        except ledger.LedgerFullError:
            # Looking at every file takes a while, so it is done once until the next attempt.
            if self._rescan_at is not None or not self._ledger.forget_gone():
                raise
            return self._ledger.add(identity, sighting.file, sighting.refusal)

    def _subscribe(self, topics: tuple[str, ...]) -> None:
        """Subscribe to these topics and no others. Raises NucleusError."""
        for topic in topics:
            if topic not in self._subscriptions:
                self._subscriptions[topic] = self._link.subscribe(topic, self._inbox.put_document)
        for topic in [topic for topic in self._subscriptions if topic not in topics]:
            self._subscriptions.pop(topic).close()

    def _reconfigure(self) -> None:
        """Take the new configuration; if it cannot be used, keep the former."""
        former = self._settings
        try:
            wanted = settings.read_settings(self._link.read_configuration())
            if wanted == former:
                return
            self._subscribe(wanted.acknowledgement_topics)
        except (values.SettingError, ipc.NucleusError) as error:
            _log.error("Configuration kept as it was reason=%s", error)
            return
        self._settings = wanted
        _log.info("Configuration changed settings=%s", wanted)
        if _watching(wanted) != _watching(former):
            self._directories.configure(wanted)
            self._next_check = 0.0


def _watching(of: settings.Settings) -> tuple[object, ...]:
    """Return what decides which files are found, and how."""
    return (
        *(of.directories, of.recursive, of.method, of.poll_every),
        *(of.patterns, of.excluded, of.largest, of.settle),
    )
