"""Decode, infer and answer different pictures at the same time, in the order they came.

While the network looks at one picture the next ones are decoded and the former one is answered, so
the cores stay busy. Pictures that are ready together are looked at together, if the model allows
it; a picture that is alone never waits for company.
"""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from object_detection.detector import Detector, Inferred, Prepared
from object_detection.errors import PictureError
from object_detection.messages import FileEvent

if TYPE_CHECKING:
    from collections.abc import Callable

DECODERS = 2
"""More decode no faster than one network can look."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """The event was answered before; this is the answer."""

    document: dict[str, Any]


Outcome = Stored | Inferred | PictureError
_Begun = tuple[FileEvent, Future[Stored | Prepared | PictureError]]


class Pipeline:
    """Three stages in threads of their own."""

    def __init__(
        self,
        detector: Detector,
        prepare: Callable[[FileEvent], Stored | Prepared],
        answer: Callable[[FileEvent, Outcome], None],
    ) -> None:
        """`prepare` is called by several threads at once, `answer` in order by one."""
        self._detector = detector
        self._prepare = prepare
        self._answer = answer
        # A decoded picture is large, so only so many are in hand; the others wait as events.
        self._limit = DECODERS + detector.batch + 1
        self._room = threading.Semaphore(self._limit)
        self._decoders = ThreadPoolExecutor(DECODERS, "decode")
        self._begun: queue.SimpleQueue[_Begun | None] = queue.SimpleQueue()
        self._held: list[_Begun | None] = []
        self._seen: queue.SimpleQueue[tuple[FileEvent, Outcome] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._infer, name="infer"),
            threading.Thread(target=self._finish, name="answer"),
        ]
        for thread in self._threads:
            thread.start()

    def put(self, event: FileEvent) -> None:
        """Take an event, waiting until there is room."""
        self._room.acquire()
        self._begun.put((event, self._decoders.submit(self._prepare_safely, event)))

    def wait(self) -> None:
        """Return when everything that was put is answered."""
        for _ in range(self._limit):
            self._room.acquire()
        self._room.release(self._limit)

    def close(self) -> None:
        """Answer what was put, and end the threads."""
        self._begun.put(None)
        for thread in self._threads:
            thread.join()
        self._decoders.shutdown()

    def _prepare_safely(self, event: FileEvent) -> Stored | Prepared | PictureError:
        try:
            return self._prepare(event)
        except PictureError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the others still want their turn
            return _failed(event, error)

    def _infer(self) -> None:
        while (begun := self._held.pop() if self._held else self._begun.get()) is not None:
            event, future = begun
            prepared = future.result()
            if isinstance(prepared, Prepared):
                self._look([(event, prepared), *self._company()])
            else:
                self._seen.put((event, prepared))
        self._seen.put(None)

    def _company(self) -> list[tuple[FileEvent, Prepared]]:
        """Return the pictures next in line that are ready at this moment."""
        found: list[tuple[FileEvent, Prepared]] = []
        while len(found) < self._detector.batch - 1:
            try:
                begun = self._begun.get_nowait()
            except queue.Empty:
                break
            if begun is not None and begun[1].done():
                prepared = begun[1].result()
                if isinstance(prepared, Prepared):
                    found.append((begun[0], prepared))
                    continue
            self._held.append(begun)
            break
        return found

    def _look(self, group: list[tuple[FileEvent, Prepared]]) -> None:
        try:
            outcomes = self._detector.infer([prepared for _, prepared in group])
        except Exception as error:  # noqa: BLE001 - the others still want their turn
            if len(group) > 1:
                for one in group:
                    self._look([one])
                return
            self._seen.put((group[0][0], _failed(group[0][0], error)))
            return
        for (event, _), inferred in zip(group, outcomes, strict=True):
            self._seen.put((event, inferred))

    def _finish(self) -> None:
        while (seen := self._seen.get()) is not None:
            try:
                self._answer(*seen)
            except Exception:  # noqa: BLE001 - the next one still wants its answer
                # Without an answer the event comes again.
                _log.exception("Answering failed id=%s", seen[0].id)
            finally:
                self._room.release()


def _failed(event: FileEvent, error: Exception) -> PictureError:
    _log.error("Analysis failed id=%s path=%r", event.id, event.path, exc_info=error)
    return PictureError("failed", f"the analysis failed: {type(error).__name__}")
