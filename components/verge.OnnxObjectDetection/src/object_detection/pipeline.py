"""Decode, infer and answer different pictures at the same time, in the order they came.

While the network looks at one picture the next ones are decoded and the former one is answered, so
the cores stay busy. A picture that is alone has all of them for itself and never waits for company.
In a backlog several lookers share them, a picture each; or several pictures, if the model allows
it.
"""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class _Turn:
    """Pictures that the network looks at together, and what it will make of them."""

    pictures: list[tuple[FileEvent, Prepared]]
    alone: bool
    """Whether nothing else was being looked at or waiting when it began."""
    outcomes: Future[list[Outcome]] = field(default_factory=Future)


class Pipeline:
    """Three stages in threads of their own."""

    def __init__(
        self,
        detector: Detector,
        prepare: Callable[[FileEvent], Stored | Prepared],
        expect: Callable[[FileEvent], None],
        answer: Callable[[FileEvent, Outcome], None],
    ) -> None:
        """`prepare` is called by several threads at once, `answer` in order by one.

        That one calls `expect` while the network looks, so that there is less to do afterwards.
        """
        self._detector = detector
        self._prepare = prepare
        self._expect = expect
        self._answer = answer
        # A decoded picture is large, so only so many are in hand; the others wait as events.
        self._limit = DECODERS + detector.lookers * detector.batch + 1
        self._room = threading.Semaphore(self._limit)
        self._decoders = ThreadPoolExecutor(DECODERS, "decode")
        self._begun: queue.SimpleQueue[_Begun | None] = queue.SimpleQueue()
        self._held: list[_Begun | None] = []
        self._taking = threading.Lock()
        """Held by the looker whose turn comes next, so that turns keep the order of the events."""
        self._counting = threading.Lock()
        self._looking = 0
        self._seen: queue.SimpleQueue[_Turn | tuple[FileEvent, Outcome] | None] = (
            queue.SimpleQueue()
        )
        self._lookers = [
            threading.Thread(target=self._look, name="infer") for _ in range(detector.lookers)
        ]
        self._finisher = threading.Thread(target=self._finish, name="answer")
        for thread in (*self._lookers, self._finisher):
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
        for thread in self._lookers:
            thread.join()
        self._seen.put(None)
        self._finisher.join()
        self._decoders.shutdown()

    def _prepare_safely(self, event: FileEvent) -> Stored | Prepared | PictureError:
        try:
            return self._prepare(event)
        except PictureError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the others still want their turn
            return _failed(event, error)

    def _look(self) -> None:
        while (turn := self._take_turn()) is not None:
            outcomes = self._infer(turn.pictures, alone=turn.alone)
            self._count(-1)
            turn.outcomes.set_result(outcomes)

    def _take_turn(self) -> _Turn | None:
        """Return the next pictures to look at; what needs no look is answered on the way."""
        with self._taking:
            while (begun := self._held.pop() if self._held else self._begun.get()) is not None:
                event, future = begun
                prepared = future.result()
                if isinstance(prepared, Prepared):
                    pictures = [(event, prepared), *self._company()]
                    others = self._count(+1) > 1 or self._held or not self._begun.empty()
                    turn = _Turn(pictures, alone=not others)
                    self._seen.put(turn)
                    return turn
                self._seen.put((event, prepared))
            self._held.append(None)  # The other lookers are to end, too.
            return None

    def _count(self, change: int) -> int:
        """Note that a run of the network begins or ends; return how many are under way."""
        with self._counting:
            self._looking += change
            return self._looking

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

    def _infer(self, pictures: list[tuple[FileEvent, Prepared]], *, alone: bool) -> list[Outcome]:
        try:
            prepared = [one for _, one in pictures]
            return list(self._detector.infer(prepared, alone=alone))
        except Exception as error:  # noqa: BLE001 - the others still want their turn
            if len(pictures) == 1:
                return [_failed(pictures[0][0], error)]
        return [outcome for one in pictures for outcome in self._infer([one], alone=alone)]

    def _finish(self) -> None:
        while (seen := self._seen.get()) is not None:
            if isinstance(seen, _Turn):
                for event, _ in seen.pictures:
                    self._expect(event)
                outcomes = seen.outcomes.result()
                for (event, _), outcome in zip(seen.pictures, outcomes, strict=True):
                    self._answer_safely(event, outcome)
            else:
                self._answer_safely(*seen)

    def _answer_safely(self, event: FileEvent, outcome: Outcome) -> None:
        try:
            self._answer(event, outcome)
        except Exception:  # noqa: BLE001 - the next one still wants its answer
            # Without an answer the event comes again.
            _log.exception("Answering failed id=%s", event.id)
        finally:
            self._room.release()


def _failed(event: FileEvent, error: Exception) -> PictureError:
    _log.error("Analysis failed id=%s path=%r", event.id, event.path, exc_info=error)
    return PictureError("failed", f"the analysis failed: {type(error).__name__}")
