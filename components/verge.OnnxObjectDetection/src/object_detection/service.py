"""Answer every file event with exactly one result or rejection.

One thread works through the events in the order they came. The connection's thread only puts
them into a bounded inbox: what does not fit is dropped, and its sender delivers it again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edge_ipc import link as links
from edge_ipc import nucleus as ipc
from edge_ipc import values

from object_detection import annotate, messages, results, settings
from object_detection.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from object_detection.detector import Detector

INBOX_LIMIT = 512
"""Events that may wait; at 200 bytes each they cost next to nothing."""

_log = logging.getLogger(__name__)


class Link(links.Link, Protocol):
    """The nucleus as this service needs it."""

    def publish_to_iot_core(self, topic: str, document: Mapping[str, Any]) -> None:
        """Publish to AWS IoT Core."""


@dataclass(frozen=True)
class _Changed:
    """The configuration changed."""


@dataclass(frozen=True)
class Stop:
    """Leave, with this exit code, for this reason."""

    code: int
    reason: str


class Inbox:
    """What waits for the service, in order; safe to fill from any thread."""

    def __init__(self, limit: int = INBOX_LIMIT) -> None:
        self._limit = limit
        self._queue: queue.SimpleQueue[messages.FileEvent | _Changed | Stop] = queue.SimpleQueue()
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._changed = False
        self.stop: Stop | None = None

    def put_document(self, document: Any) -> None:
        """Take a file event, unless its id is waiting already or there is no room."""
        try:
            event = messages.read_event(document)
        except messages.EventError as error:
            _log.warning("Message ignored reason=%s", error)
            return
        with self._lock:
            if event.id in self._waiting:
                return
            if len(self._waiting) >= self._limit:
                _log.warning("Event dropped, it will be delivered again id=%s", event.id)
                return
            self._waiting.add(event.id)
        self._queue.put(event)

    def put_change(self) -> None:
        """Note that the configuration changed; several notes make one."""
        with self._lock:
            if self._changed:
                return
            self._changed = True
        self._queue.put(_Changed())

    def put_stop(self, code: int, reason: str) -> None:
        """Ask the service to leave before the next event."""
        self.stop = self.stop or Stop(code, reason)
        self._queue.put(self.stop)

    def take(self) -> messages.FileEvent | _Changed | Stop:
        """Return what comes next, waiting for it; a stop comes before everything else."""
        item = self._queue.get()
        if self.stop:
            return self.stop
        if isinstance(item, _Changed):
            with self._lock:
                self._changed = False
        return item

    def done(self, event: messages.FileEvent) -> None:
        """Note that an event was answered, so its id may come again."""
        with self._lock:
            self._waiting.discard(event.id)


class Service:
    """The detector at work."""

    def __init__(self, link: Link, inbox: Inbox, detector: Detector, device: str) -> None:
        """Read the configuration and open the result store.

        Raises SettingError, NucleusError, or OSError for the output directory.
        """
        self._link = link
        self._inbox = inbox
        self._detector = detector
        self._device = device
        self._settings = settings.read_settings(link.read_configuration(), device)
        self._store = self._open_store(self._settings)
        self._subscription: Any = None
        self._cloud = _Cloud(link)

    def start(self) -> None:
        """Subscribe and report RUNNING. Raises NucleusError."""
        self._watch_configuration()
        self._subscription = self._subscribe(self._settings.input_topic)
        self._link.report_running()
        _log.info("Ready model=%s topic=%s", self._detector.card.name, self._settings.input_topic)

    def run(self) -> int:
        """Work until asked to stop; return the exit code."""
        while True:
            match self._inbox.take():
                case Stop(code, reason):
                    _log.info("Stopping reason=%s", reason)
                    return code
                case messages.FileEvent() as event:
                    self._answer(event)
                    self._inbox.done(event)
                case _Changed():
                    self._reconfigure()

    def _answer(self, event: messages.FileEvent) -> None:
        document = self._store.find(event.id)
        if document is not None:
            _log.info("Answered from the store id=%s", event.id)
        else:
            document = self._examine(event)
        self._publish(document)

    def _examine(self, event: messages.FileEvent) -> dict[str, Any]:
        started = time.perf_counter()
        try:
            document = self._detect(event)
            document["timings_ms"]["total"] = round((time.perf_counter() - started) * 1000, 3)
            found = len(document["detections"])
            total = document["timings_ms"]["total"]
            _log.info(
                "Picture analysed id=%s path=%r detections=%d total_ms=%.1f",
                *(event.id, event.path, found, total),
            )
        except PictureError as error:
            document = messages.make_rejection(event, self._device, error)
            _log.warning(
                "Picture rejected id=%s path=%r code=%s reason=%s",
                *(event.id, event.path, error.code, error.reason),
            )
        self._save(event, document)
        return document

    def _detect(self, event: messages.FileEvent) -> dict[str, Any]:
        messages.check_event(event)
        chosen = self._settings
        thresholds = self._detector.thresholds(chosen.score_threshold, chosen.iou_threshold)
        try:
            analysis = self._detector.analyse(event.path, chosen.max_pixels, thresholds)
            annotated = self._annotate(event, analysis) if chosen.annotate else None
        except PictureError:
            raise
        except Exception as error:
            # Whatever a library makes of one picture, the others still want their turn.
            _log.exception("Analysis failed id=%s path=%r", event.id, event.path)
            reason = f"the analysis failed: {type(error).__name__}"
            raise PictureError("failed", reason) from error
        return messages.make_result(event, self._device, self._detector.card, analysis, annotated)

    def _annotate(self, event: messages.FileEvent, analysis: Any) -> str | None:
        picture = annotate.draw_detections(analysis.picture.pixels, analysis.detections)
        try:
            return self._store.save_picture(event.id, picture)
        except OSError as error:
            _log.warning("Annotated picture not stored id=%s reason=%s", event.id, error)
            return None

    def _save(self, event: messages.FileEvent, document: Mapping[str, Any]) -> None:
        try:
            self._store.save(event.id, document)
        except OSError as error:
            # Still published: an answer that a restart could repeat is better than none.
            _log.error("Result not stored id=%s reason=%s", event.id, error)

    def _publish(self, document: Mapping[str, Any]) -> None:
        is_result = document.get("schema") == messages.RESULT
        topic = self._settings.result_topic if is_result else self._settings.rejection_topic
        try:
            self._link.publish(topic, document)
        except ipc.NucleusError as error:
            _log.warning("Answer not published id=%s reason=%s", document.get("id"), error)
        if is_result and self._settings.publish_to_iot_core:
            self._cloud.publish(self._settings.iot_core_topic, document)

    def _watch_configuration(self) -> None:
        try:
            self._link.watch_configuration(self._inbox.put_change)
        except ipc.NucleusError as error:
            _log.warning("Configuration changes need a restart reason=%s", error)

    def _subscribe(self, topic: str) -> Any:
        return self._link.subscribe(topic, self._inbox.put_document)

    def _reconfigure(self) -> None:
        """Take the new configuration; if any of it cannot be used, keep the former."""
        try:
            wanted = settings.read_settings(self._link.read_configuration(), self._device)
            store = self._open_store(wanted)
            if wanted.input_topic != self._settings.input_topic:
                subscription = self._subscribe(wanted.input_topic)
                self._subscription.close()
                self._subscription = subscription
        except (values.SettingError, ipc.NucleusError, OSError) as error:
            _log.error("Configuration kept as it was reason=%s", error)
            return
        self._settings, self._store = wanted, store
        self._cloud = _Cloud(self._link)
        _log.info("Configuration changed settings=%s", wanted)

    def _open_store(self, wanted: settings.Settings) -> results.ResultStore:
        return results.ResultStore(wanted.output_directory, wanted.keep_results)


class _Cloud:
    """Publishing to AWS IoT Core, which a nucleus may lack: it says so once and goes on."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._supported = True
        self._failing = False

    def publish(self, topic: str, document: Mapping[str, Any]) -> None:
        if not self._supported:
            return
        try:
            self._link.publish_to_iot_core(topic, document)
        except ipc.NucleusError as error:
            self._supported = error.supported
            if not self._failing or not self._supported:
                _log.warning("Results stay on the device reason=%s", error)
            self._failing = True
        else:
            self._failing = False
