"""Announce what the ledger holds until it is answered, and refuse what is no file."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edge_ipc import nucleus as ipc

from file_system_monitor import counters, flights, ledger, states

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_ipc.link import Link

    from file_system_monitor.settings import Settings

REJECTION = "verge.rejection/1"

_log = logging.getLogger(__name__)


class Announcer:
    """Publishes; `counts` says how much."""

    def __init__(self, link: Link, book: ledger.Ledger, device: str) -> None:
        self._link = link
        self._ledger = book
        self._device = device
        self._flights = flights.Flights()
        self._loaded = 0
        self._failure = ""
        self._started = _now()
        self._reported = counters.Counters()
        self.counts = counters.Counters()

    def drop(self, identity: str) -> None:
        """Announce a file no longer: it is gone."""
        self._flights.drop(identity)

    def answered(self, identity: str) -> None:
        """Note an answer."""
        self._flights.answered(identity, time.monotonic())
        try:
            self.counts.answered += self._ledger.acknowledge(identity)
        except ledger.LedgerError as error:
            _log.error("Answer not noted id=%s reason=%s", identity, error)

    def announce(self, wanted: Settings) -> None:
        """Publish what is due, filling the window from the ledger."""
        room = self._flights.room()
        if room > 0:
            for entry in self._ledger.open_entries(self._loaded, room):
                self._loaded = entry.sequence
                self._flights.take(entry)
        for entry in self._flights.due(time.monotonic(), wanted.redeliver_after):
            if entry.refusal is None:
                self._deliver(entry, wanted)
            else:
                self._refuse(entry, entry.refusal, wanted)
        self._ledger.tidy()  # A file that comes now waits for those before it anyway.

    def next_due(self, wanted: Settings) -> float | None:
        """Return when `announce` has something to do, seconds of a monotonic clock."""
        return self._flights.next_due(wanted.redeliver_after)

    def report_counters(self, wanted: Settings) -> None:
        """Log and publish the counters if one has changed."""
        self.counts.waiting = self._ledger.open_count()
        if self.counts == self._reported:
            return
        self._reported = counters.Counters(**vars(self.counts))
        _log.info("Files %s", self.counts)
        if wanted.counters_topic:
            document = self.counts.document(self._device, self._started, _now())
            try:
                self._link.publish(wanted.counters_topic, document)
            except ipc.NucleusError as error:
                _log.warning("Counters not published reason=%s", error)

    def _deliver(self, entry: ledger.Entry, wanted: Settings) -> None:
        if self._publish(wanted.topic, entry, entry.file.document(self._device)):
            try:
                first = self._ledger.mark_delivered(entry.id)
            except ledger.LedgerError as error:
                _log.error("Delivery not noted id=%s reason=%s", entry.id, error)
                return
            self.counts.delivered += first
            self.counts.redelivered += not first

    def _refuse(self, entry: ledger.Entry, refusal: str, wanted: Settings) -> None:
        document = {
            "schema": REJECTION,
            "id": entry.id,
            "device": self._device,
            "picture": {"path": entry.file.path},
            "code": refusal,
            "reason": states.REFUSALS[refusal],
            "time": _now(),
        }
        if self._publish(wanted.rejection_topic, entry, document):
            _log.warning("File refused path=%r code=%s", entry.file.path, refusal)
            self.counts.rejected += 1
            self._flights.drop(entry.id)
            try:
                self._ledger.acknowledge(entry.id)
            except ledger.LedgerError as error:
                _log.error("Refusal not noted id=%s reason=%s", entry.id, error)

    def _publish(self, topic: str, entry: ledger.Entry, document: Mapping[str, Any]) -> bool:
        try:
            self._link.publish(topic, document)
        except ipc.NucleusError as error:
            if str(error) != self._failure:
                _log.error("Files are not announced reason=%s", error)
            self._failure = str(error)
        else:
            self._failure = ""
            _log.debug("File announced id=%s path=%r", entry.id, entry.file.path)
        self._flights.announced(entry.id, time.monotonic())
        return not self._failure


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
