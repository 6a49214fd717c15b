"""Answer every file event with exactly one result or rejection, in the order they came.

The connection's thread hands an event to the pipeline itself where it need not wait for that; or it
puts it into a bounded inbox: what does not fit is dropped, and its sender delivers it again. From
there another thread hands the events to the pipeline.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from edge_ipc import nucleus as ipc
from edge_ipc import values

from object_detection import answers, decode, detector, inbox, messages, pipeline, results, settings
from object_detection.errors import DetectionError

if TYPE_CHECKING:
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


class Service:
    """The detector at work."""

    def __init__(
        self,
        link: answers.Link,
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
        self._answers = self._open_answers()
        self._pipeline = self._open_pipeline()
        self._subscription: Any = None
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
        self._inbox.lend(self._take_at_once)
        while True:
            item = self._inbox.take(LOOK_SECONDS)
            with self._inbox.turn():
                if isinstance(item, inbox.Stop):
                    _log.info("Stopping reason=%s", item.reason)
                    if item.code == 0:  # Otherwise there is no nucleus that would listen.
                        self.close()
                    return item.code
                self._handle(item)

    def _take_at_once(self, event: messages.FileEvent) -> bool:
        """Take an event on the thread that brings it; return False if that would have to wait."""
        self._begun[event.id] = time.perf_counter()
        return self._pipeline.offer(event)

    def _handle(self, item: messages.FileEvent | inbox.Changed | None) -> None:
        match item:
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

    def _expect(self, event: messages.FileEvent) -> None:
        with contextlib.suppress(OSError):  # Storing the answer will say what is wrong.
            self._store.expect(event.id)

    def _answer(self, event: messages.FileEvent, outcome: pipeline.Outcome) -> pipeline.Rest:
        try:
            given = self._answers.give(event, outcome, self._begun[event.id])
        finally:
            self._begun.pop(event.id, None)
            self._inbox.done(event)
        return functools.partial(self._answers.complete, given)

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
        else:
            self._answers = self._open_answers()
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
        self._answers = self._open_answers()
        self._pipeline = self._open_pipeline()

    def _open_answers(self) -> answers.Answers:
        return answers.Answers(
            self._link, self._device, self._settings, self._store, self._detector
        )

    def _open_pipeline(self) -> pipeline.Pipeline:
        return pipeline.Pipeline(self._detector, self._prepare, self._expect, self._answer)

    def _open_store(self, wanted: settings.Settings) -> results.ResultStore:
        return results.ResultStore(wanted.output_directory, wanted.keep_results)


def _loading(of: settings.Settings) -> tuple[object, ...]:
    """Return what decides which model is loaded, and how."""
    return of.model_component, of.running
