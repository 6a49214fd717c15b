"""Answer every file event with exactly one result or rejection, in the order they came.

The connection's thread only puts events into a bounded inbox: what does not fit is dropped, and its
sender delivers it again. This thread hands them to the pipeline.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from edge_ipc import link as links
from edge_ipc import nucleus as ipc
from edge_ipc import values

from object_detection import (
    annotate,
    decode,
    detector,
    inbox,
    messages,
    pipeline,
    results,
    settings,
)
from object_detection.errors import DetectionError, PictureError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from object_detection import session

_log = logging.getLogger(__name__)


LOOK_SECONDS = 1.0
"""Between two looks at whether another model was installed."""


class Models(Protocol):
    """Where models come from; `shelf.Shelf` is one."""

    def identity(self, component: str) -> str:
        """Return a text that changes with the model of a component."""

    def load(self, component: str, running: session.Running) -> detector.Detector:
        """Load the model of a component. Raises DetectionError."""


class Link(links.Link, Protocol):
    """The nucleus as this service needs it."""

    def publish_to_iot_core(self, topic: str, document: Mapping[str, Any]) -> None:
        """Publish to AWS IoT Core."""


class Service:
    """The detector at work."""

    def __init__(
        self,
        link: Link,
        events: inbox.Inbox,
        models: Models,
        device: str,
    ) -> None:
        """Read the configuration, load the model and open the result store.

        Raises SettingError, NucleusError, DetectionError for the model, or OSError for the output
        directory.
        """
        self._link = link
        self._inbox = events
        self._models = models
        self._device = device
        self._settings = settings.read_settings(link.read_configuration(), device)
        self._model = models.identity(self._settings.model_component)
        self._detector = self._load(self._settings)
        self._store = self._open_store(self._settings)
        self._pipeline = self._open_pipeline()
        self._subscription: Any = None
        self._cloud = _Cloud(link)
        self._begun: dict[str, float] = {}
        self._next_look = 0.0
        self._awaited: tuple[str, str] | None = None
        """A component that the configuration names, and its model when that could not be used."""

    def start(self) -> None:
        """Subscribe and report RUNNING. Raises NucleusError."""
        self._watch_configuration()
        self._subscription = self._subscribe(self._settings.input_topic)
        self._link.report_running()
        _log.info("Ready model=%s topic=%s", self._detector.card.name, self._settings.input_topic)

    def run(self) -> int:
        """Work until asked to stop; return the exit code."""
        while True:
            match self._inbox.take(LOOK_SECONDS):
                case inbox.Stop(code, reason):
                    _log.info("Stopping reason=%s", reason)
                    if code == 0:  # Otherwise there is no nucleus that would listen.
                        self.close()
                    return code
                case messages.FileEvent() as event:
                    self._begun[event.id] = time.perf_counter()
                    self._pipeline.put(event)
                case inbox.Changed():
                    self._pipeline.wait()
                    self._reconfigure()
                case None:
                    pass
            if self._next_look <= time.monotonic():
                self._next_look = time.monotonic() + LOOK_SECONDS
                self._look_for_another_model()

    def close(self) -> None:
        """Answer what is in hand, and end."""
        self._pipeline.close()

    # In the pipeline's threads; what they read changes only while the pipeline is empty.

    def _prepare(self, event: messages.FileEvent) -> pipeline.Stored | detector.Prepared:
        document = self._store.find(event.id)
        if document is not None:
            return pipeline.Stored(document)
        messages.check_event(event)
        expected = decode.Expected(event.size, event.modified)
        return self._detector.prepare(event.path, self._settings.max_pixels, expected)

    def _answer(self, event: messages.FileEvent, outcome: pipeline.Outcome) -> None:
        try:
            self._publish(self._conclude(event, outcome))
        finally:
            self._begun.pop(event.id, None)
            self._inbox.done(event)

    def _conclude(self, event: messages.FileEvent, outcome: pipeline.Outcome) -> dict[str, Any]:
        if isinstance(outcome, pipeline.Stored):
            _log.info("Answered from the store id=%s", event.id)
            return outcome.document
        try:
            if isinstance(outcome, PictureError):
                raise outcome
            document = self._report(event, self._read(outcome))
        except PictureError as error:
            document = messages.make_rejection(event, self._device, error)
            _log.warning(
                "Picture rejected id=%s path=%r code=%s reason=%s",
                *(event.id, event.path, error.code, error.reason),
            )
        self._save(event, document)
        return document

    def _read(self, inferred: detector.Inferred) -> detector.Analysis:
        chosen = self._settings
        thresholds = self._detector.thresholds(chosen.score_threshold, chosen.iou_threshold)
        try:
            return self._detector.read(inferred, detector.Wanted(thresholds, chosen.classes))
        except Exception as error:
            # Whatever a library makes of one picture, the others still want their turn.
            _log.exception("Reading the outputs failed")
            reason = f"the analysis failed: {type(error).__name__}"
            raise PictureError("failed", reason) from error

    def _report(self, event: messages.FileEvent, analysis: detector.Analysis) -> dict[str, Any]:
        annotated = self._annotate(event, analysis) if self._settings.annotate else None
        card = self._detector.card
        document = messages.make_result(event, self._device, card, analysis, annotated)
        total = (time.perf_counter() - self._begun[event.id]) * 1000
        document["timings_ms"]["total"] = round(total, 3)
        _log.info(
            "Picture analysed id=%s path=%r detections=%d total_ms=%.1f",
            *(event.id, event.path, len(analysis.detections), total),
        )
        return document

    def _annotate(self, event: messages.FileEvent, analysis: detector.Analysis) -> str | None:
        picture = analysis.picture
        try:
            drawn = annotate.draw_detections(picture.pixels, analysis.detections, picture.width)
            return self._store.save_picture(event.id, drawn)
        except (OSError, DetectionError) as error:
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
        document = self._shortened(document)
        try:
            self._link.publish(topic, document)
        except ipc.NucleusError as error:
            _log.warning("Answer not published id=%s reason=%s", document.get("id"), error)
        if is_result and self._settings.publish_to_iot_core:
            self._cloud.publish(self._settings.iot_core_topic, document)

    def _shortened(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what the nucleus takes of a document; the stored one is always whole."""
        limit = self._link.message_limit
        short = messages.shorten(document, limit)
        if short is not document:
            _log.warning(
                "Result shortened id=%s detections=%d left_out=%d limit_bytes=%s",
                *(short["id"], len(document["detections"]), short["truncated"], limit),
            )
        return short

    def _watch_configuration(self) -> None:
        try:
            self._link.watch_configuration(self._inbox.put_change)
        except ipc.NucleusError as error:
            _log.warning("Configuration changes need a restart reason=%s", error)
        else:
            self._inbox.put_change()  # It may have changed since it was read.

    def _subscribe(self, topic: str) -> Any:
        return self._link.subscribe(topic, self._inbox.put_document)

    def _reconfigure(self) -> None:
        """Take the new configuration; if any of it cannot be used, keep the former."""
        self._awaited = None
        try:
            wanted = settings.read_settings(self._link.read_configuration(), self._device)
            if wanted == self._settings:
                return
            store = self._open_store(wanted)
            loaded = self._detector
            if _loading(wanted) != _loading(self._settings):
                model = self._models.identity(wanted.model_component)
                self._awaited = wanted.model_component, model
                loaded = self._load(wanted)
                self._awaited = None
            if wanted.input_topic != self._settings.input_topic:
                subscription = self._subscribe(wanted.input_topic)
                self._subscription.close()
                self._subscription = subscription
        except (values.SettingError, ipc.NucleusError, DetectionError, OSError) as error:
            _log.error("Configuration kept as it was reason=%s", error)
            return
        self._settings, self._store = wanted, store
        if loaded is not self._detector:
            self._model = model
            self._use(loaded)
        self._cloud = _Cloud(self._link)
        _log.info("Configuration changed settings=%s", wanted)

    def _look_for_another_model(self) -> None:
        """Use a model that was installed since; one that cannot be used changes nothing."""
        if self._awaited and self._models.identity(self._awaited[0]) != self._awaited[1]:
            # A deployment may bring the configuration before the model that it names.
            self._pipeline.wait()
            self._reconfigure()
        model = self._models.identity(self._settings.model_component)
        if model in {"", self._model}:
            return
        self._model = model
        self._pipeline.wait()
        try:
            loaded = self._load(self._settings)
        except DetectionError as error:
            _log.error("Model kept as it was reason=%s", error)
            return
        self._use(loaded)

    def _load(self, wanted: settings.Settings) -> detector.Detector:
        return self._models.load(wanted.model_component, wanted.running)

    def _use(self, loaded: detector.Detector) -> None:
        self._pipeline.close()
        self._detector = loaded
        self._pipeline = self._open_pipeline()

    def _open_pipeline(self) -> pipeline.Pipeline:
        return pipeline.Pipeline(self._detector, self._prepare, self._answer)

    def _open_store(self, wanted: settings.Settings) -> results.ResultStore:
        return results.ResultStore(wanted.output_directory, wanted.keep_results)


def _loading(of: settings.Settings) -> tuple[object, ...]:
    """Return what decides which model is loaded, and how."""
    return of.model_component, of.running


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
