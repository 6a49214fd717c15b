"""What the cloud itself says on the account's default event bus of EventBridge."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Sequence

from verge.cloud import ports
from verge.cloud.aws import backend

BATCH = 10
"""Entries of one PutEvents, as many as AWS allows."""

_HEADERS = (
    ("Content-Type", "application/x-amz-json-1.1"),
    ("X-Amz-Target", "AWSEvents.PutEvents"),
)

_log = logging.getLogger(__name__)


class Events:
    """Implements `ports.Events`, in a thread of its own: who tells something never waits.

    An event that no rule can want is dropped, so that it costs no entry of the journal. Like
    those of AWS they are sent as well as it can be done: the death of the process loses those that
    wait.
    """

    def __init__(self, *, backend: backend.Backend) -> None:
        self._backend = backend
        self._waiting: queue.SimpleQueue[ports.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, and end."""
        self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def put(self, event: ports.Event) -> None:
        """Send an event soon."""
        self._waiting.put(event)

    def _run(self) -> None:
        going_on = True
        while going_on:
            batch = [self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get())
            going_on = None not in batch
            try:
                self._send([event for event in batch if event is not None])
            except Exception:  # noqa: BLE001  # one event must not end the others
                _log.exception("Events lost count=%d", len(batch))

    def _send(self, batch: Sequence[ports.Event]) -> None:
        if not batch or not self._wanted():
            return
        body = json.dumps({"Entries": [_entry(event) for event in batch]}).encode()
        answer = self._backend.call("POST", "/", _HEADERS, body, service="events")
        if answer.status_code != 200:
            _log.warning("Events lost count=%d answer=%s", len(batch), answer.get_data(True))

    def _wanted(self) -> bool:
        with self._backend.service("events") as events:
            rules = events.describe_event_bus("default").rules.values()
            return any(rule.targets for rule in rules)


def _entry(event: ports.Event) -> dict[str, object]:
    return {
        "Source": event.source,
        "DetailType": event.kind,
        "Resources": list(event.resources),
        "Detail": json.dumps(event.detail),
    }
