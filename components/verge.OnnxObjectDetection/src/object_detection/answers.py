"""Answer one event: keep the document, publish it, and then do what nobody waits for.

A result is published as soon as it is on its way to the disk; only after that it is made to outlast
a power cut, sent to the cloud, and drawn. A monitor that heard of it has not yet made sure that it
remembers that either, so a power cut between the two brings the event again.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edge_ipc import documents
from edge_ipc import link as links
from edge_ipc import nucleus as ipc

from object_detection import annotate, detector, messages, pipeline
from object_detection.errors import DetectionError, PictureError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from object_detection import results, settings

_log = logging.getLogger(__name__)


class Link(links.Link, Protocol):
    """The nucleus as this component needs it."""

    def publish_to_iot_core(self, topic: str, document: documents.Document) -> None:
        """Publish to AWS IoT Core."""


@dataclass(frozen=True)
class Given:
    """An answer that was published."""

    event: messages.FileEvent
    document: dict[str, Any]
    analysis: detector.Analysis | None = None
    """None for a rejection and for what was answered before."""
    kept: bool = False
    """Whether the document was stored just now."""


class Answers:
    """Gives answers as one configuration and one model say."""

    def __init__(
        self,
        link: Link,
        device: str,
        wanted: settings.Settings,
        store: results.ResultStore,
        looking: detector.Detector,
    ) -> None:
        self._link = link
        self._device = device
        self._settings = wanted
        self._store = store
        self._detector = looking
        thresholds = looking.thresholds(wanted.score_threshold, wanted.iou_threshold)
        self._wanted = detector.Wanted(thresholds, wanted.classes)
        self._cloud = _Cloud(link)

    def give(self, event: messages.FileEvent, outcome: pipeline.Outcome, began: float) -> Given:
        """Answer an event that was taken at `began`, seconds of `time.perf_counter`."""
        if isinstance(outcome, pipeline.Stored):
            _log.info("Answered from the store id=%s", event.id)
            self._publish(outcome.document)
            return Given(event, outcome.document)
        analysis, document = self._conclude(event, outcome, began)
        text = documents.encode(document)
        kept = self._keep(event, text)
        if analysis is not None and not kept:
            document["annotated"] = None  # There is no room for it either.
        self._publish(document, text if kept else None)
        return Given(event, document, analysis, kept=kept)

    def complete(self, given: Given) -> None:
        """Do what is left to do once an answer was given."""
        if given.analysis is not None:
            _log.info(
                "Picture analysed id=%s path=%r detections=%d total_ms=%.1f",
                *(given.event.id, given.event.path, len(given.analysis.detections)),
                given.document["timings_ms"]["total"],
            )
        if given.kept:
            self._sync(given.event)
            self._prune()
        if messages.is_result(given.document) and self._settings.publish_to_iot_core:
            self._cloud.publish(self._settings.iot_core_topic, self._shortened(given.document))
        # In a backlog, newer results may have driven this one out already.
        if (
            given.analysis is not None
            and given.document["annotated"]
            and self._store.keeps(given.event.id)
        ):
            self._annotate(given.event, given.analysis)

    def _conclude(
        self,
        event: messages.FileEvent,
        outcome: detector.Inferred | PictureError,
        began: float,
    ) -> tuple[detector.Analysis | None, dict[str, Any]]:
        try:
            if isinstance(outcome, PictureError):
                raise outcome
            analysis = self._read(outcome)
        except PictureError as error:
            _log.warning(
                "Picture rejected id=%s path=%r code=%s reason=%s",
                *(event.id, event.path, error.code, error.reason),
            )
            return None, messages.make_rejection(event, self._device, error)
        return analysis, self._report(event, analysis, began)

    def _read(self, inferred: detector.Inferred) -> detector.Analysis:
        try:
            return self._detector.read(inferred, self._wanted)
        except Exception as error:
            # Whatever a library makes of one picture, the others still want their turn.
            _log.exception("Reading the outputs failed")
            reason = f"the analysis failed: {type(error).__name__}"
            raise PictureError("failed", reason) from error

    def _report(
        self, event: messages.FileEvent, analysis: detector.Analysis, began: float
    ) -> dict[str, Any]:
        annotated = str(self._store.picture_path(event.id)) if self._settings.annotate else None
        card = self._detector.card
        document = messages.make_result(event, self._device, card, analysis, annotated)
        total = (time.perf_counter() - began) * 1000
        document["timings_ms"]["total"] = round(total, 3)
        return document

    def _keep(self, event: messages.FileEvent, text: bytes) -> bool:
        try:
            self._store.save(event.id, text)
        except OSError as error:
            # Still published: an answer that a restart could repeat is better than none.
            _log.error("Result not stored id=%s reason=%s", event.id, error)
            return False
        return True

    def _publish(self, document: Mapping[str, Any], text: bytes | None = None) -> None:
        """Publish a document, of which there may be the text already."""
        chosen = self._settings
        topic = chosen.result_topic if messages.is_result(document) else chosen.rejection_topic
        try:
            short = self._shortened(document)
            self._link.publish(topic, short if short is not document or text is None else text)
        except ipc.NucleusError as error:
            _log.warning("Answer not published id=%s reason=%s", document.get("id"), error)

    def _sync(self, event: messages.FileEvent) -> None:
        try:
            self._store.sync(event.id)
        except OSError as error:
            _log.error("Result may not outlast a power cut id=%s reason=%s", event.id, error)

    def _prune(self) -> None:
        try:
            self._store.prune()
        except OSError as error:
            _log.warning("Old results not removed reason=%s", error)

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

    def _annotate(self, event: messages.FileEvent, analysis: detector.Analysis) -> None:
        picture = analysis.picture
        try:
            drawn = annotate.draw_detections(picture.pixels, analysis.detections, picture.width)
            self._store.save_picture(event.id, drawn)
        except (OSError, DetectionError) as error:
            _log.warning("Annotated picture not stored id=%s reason=%s", event.id, error)


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
