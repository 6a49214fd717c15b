"""Announce every complete file until it is answered.

One thread owns the ledger and does all the work; the inotify thread and the connection's
thread only put what happened into its inbox.
"""

from __future__ import annotations

import heapq
import logging
import time
from typing import TYPE_CHECKING, Any

from edge_ipc import nucleus as ipc
from edge_ipc import values
from edge_ipc.link import Link

from file_system_monitor import directories, flights, inbox, ledger, settings, states, watch

if TYPE_CHECKING:
    from pathlib import Path

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
        self._directories = directories.Directories(watcher)
        self._watcher = watcher
        self._settings = settings.read_settings(link.read_configuration())
        self._subscriptions: dict[str, Any] = {}
        self._flights = flights.Flights()
        self._loaded = 0
        self._unsettled: dict[str, states.FileState] = {}
        self._settling: list[tuple[float, str]] = []
        self._next_check = 0.0
        self._rescan_at: float | None = None
        self._publish_failure = ""

    def start(self) -> None:
        """Subscribe, look at the directories and report RUNNING. Raises NucleusError."""
        try:
            self._link.watch_configuration(self._inbox.put_change)
        except ipc.NucleusError as error:
            _log.warning("Configuration changes need a restart reason=%s", error)
        self._subscribe(self._settings.acknowledgement_topics)
        self._directories.configure(self._settings.directories, recursive=self._settings.recursive)
        self._check_directories()
        self._link.report_running()
        _log.info("Ready open=%d topic=%s", self._ledger.open_count(), self._settings.topic)

    def run(self) -> int:
        """Work until asked to stop; return the exit code."""
        while True:
            self._announce()
            item = self._inbox.take(self._deadline() - time.monotonic())
            if isinstance(item, inbox.Stop):
                for answer in self._inbox.take_answers():
                    self._answered(answer.id)
                _log.info("Stopping reason=%s", item.reason)
                return item.code
            self._handle(item)
            self._keep_time()

    def _handle(self, item: inbox.Item | None) -> None:
        match item:
            case watch.Completed(path):
                self._completed(path)
            case inbox.Answered(identity):
                self._answered(identity)
            case watch.Appeared(path):
                self._appeared(path)
            case watch.Vanished(path):
                _log.info("Directory vanished path=%s", path)
                self._directories.vanished(path)
                self._next_check = 0.0
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
        while self._settling and self._settling[0][0] <= now:
            _, path = heapq.heappop(self._settling)
            if state := self._unsettled.pop(path, None):
                self._settle(state)

    def _deadline(self) -> float:
        times = [self._next_check]
        if self._rescan_at is not None:
            times.append(self._rescan_at)
        if self._settling:
            times.append(self._settling[0][0])
        due = self._flights.next_due(self._settings.redeliver_after)
        if due is not None:
            times.append(due)
        return min(times)

    def _completed(self, path: str) -> None:
        """Note a file that an event says is complete."""
        self._unsettled.pop(path, None)
        if self._settings.matches(path.rpartition("/")[2]) and (state := states.read_state(path)):
            self._note(state)

    def _appeared(self, path: str) -> None:
        if not self._settings.recursive:
            return
        try:
            self._watcher.add(path, recursive=True)
        except OSError as error:
            _log.warning("Cannot watch directory=%s reason=%s", path, error)
        self._scan(path)

    def _check_directories(self) -> None:
        for path in self._directories.check():
            self._scan(path)
        self._next_check = time.monotonic() + self._directories.interval()

    def _scan(self, directory: Path | str) -> None:
        """Look for files whose events were missed; the watch must be there already."""
        for state in states.find_files(directory, self._settings):
            self._settle(state, first=True)

    def _settle(self, state: states.FileState, *, first: bool = False) -> None:
        """Note a file found by looking once it stayed unchanged for the settling time.

        No event says that it is complete: its writer may be in the middle of it, and closing it
        will then bring the event.
        """
        now = states.read_state(state.path)
        if now is None:
            return
        age = time.time() - now.mtime_ns / 1e9
        if now == state and (age >= self._settings.settle or not first):
            self._note(now)
            return
        self._unsettled[state.path] = now
        heapq.heappush(self._settling, (time.monotonic() + self._settings.settle, state.path))

    def _note(self, state: states.FileState) -> None:
        """Enter a complete file into the ledger; where that fails, look for it again later."""
        try:
            replaced = self._enter(state)
        except ledger.LedgerError as error:
            if self._rescan_at is None:
                _log.error("File waits path=%r reason=%s", state.path, error)
                self._rescan_at = time.monotonic() + RETRY_SECONDS
            return
        for identity in replaced or []:
            self._flights.drop(identity)

    def _enter(self, state: states.FileState) -> list[str] | None:
        identity = state.identity(self._device)
        try:
            return self._ledger.add(identity, state)
        except ledger.LedgerFullError:
            # Looking at every file takes a while, so it is done once until the next attempt.
            if self._rescan_at is not None or not self._ledger.forget_gone():
                raise
            return self._ledger.add(identity, state)

    def _answered(self, identity: str) -> None:
        self._flights.answered(identity, time.monotonic())
        try:
            self._ledger.acknowledge(identity)
        except ledger.LedgerError as error:
            _log.error("Answer not noted id=%s reason=%s", identity, error)

    def _announce(self) -> None:
        """Publish what is due, filling the window from the ledger."""
        room = self._flights.room()
        if room > 0:
            for entry in self._ledger.open_entries(self._loaded, room):
                self._loaded = entry.sequence
                self._flights.take(entry)
        for entry in self._flights.due(time.monotonic(), self._settings.redeliver_after):
            self._publish(entry)

    def _publish(self, entry: ledger.Entry) -> None:
        try:
            self._link.publish(self._settings.topic, entry.file.document(self._device))
        except ipc.NucleusError as error:
            if str(error) != self._publish_failure:
                _log.error("Files are not announced reason=%s", error)
            self._publish_failure = str(error)
        else:
            self._publish_failure = ""
            _log.debug("File announced id=%s path=%r", entry.id, entry.file.path)
            self._mark_delivered(entry)
        self._flights.announced(entry.id, time.monotonic())

    def _mark_delivered(self, entry: ledger.Entry) -> None:
        try:
            self._ledger.mark_delivered(entry.id)
        except ledger.LedgerError as error:
            _log.error("Delivery not noted id=%s reason=%s", entry.id, error)

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
            self._subscribe(wanted.acknowledgement_topics)
        except (values.SettingError, ipc.NucleusError) as error:
            _log.error("Configuration kept as it was reason=%s", error)
            return
        self._settings = wanted
        _log.info("Configuration changed settings=%s", wanted)
        if (wanted.directories, wanted.recursive, wanted.patterns) != (
            *(former.directories, former.recursive, former.patterns),
        ):
            self._directories.configure(wanted.directories, recursive=wanted.recursive)
            self._next_check = 0.0
