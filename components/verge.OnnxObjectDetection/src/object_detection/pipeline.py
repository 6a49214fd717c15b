"""Decode, infer and answer different pictures at the same time, in the order they came.

While the network looks at one picture the next ones are decoded and the former one is answered, so
the cores stay busy. A picture that is alone has all of them for itself and never waits for company;
one thread decodes it, looks at it and answers, because to wake another takes its time. In a backlog
several lookers share the cores, a picture each; or several pictures, if the model allows it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from object_detection.detector import Detector, Inferred, Prepared
from object_detection.errors import PictureError
from object_detection.messages import FileEvent

DECODERS = 2
"""More decode no faster than one network can look."""

COURTESY = 10
"""Niceness of the thread that clears up."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """The event was answered before; this is the answer."""

    document: dict[str, Any]


Outcome = Stored | Inferred | PictureError
Rest = Callable[[], None]
"""What is left to do once an answer was given, and nobody waits for."""
_Begun = tuple[FileEvent, Future[Stored | Prepared | PictureError] | None]
"""None: who looks at the picture decodes it, too."""


@dataclass
class _Turn:
    """Pictures that the network looks at together, and what it will make of them."""

    pictures: list[tuple[FileEvent, Prepared]]
    alone: bool
    """Whether nothing else was being looked at or waiting when it began."""
    awaited: bool = False
    """Whether everything before it is answered."""
    answers: Future[Iterable[Rest]] = field(default_factory=Future)
    """Gives the answers, and for each what is left to do."""


class Pipeline:
    """Three stages in threads of their own."""

    def __init__(
        self,
        detector: Detector,
        prepare: Callable[[FileEvent], Stored | Prepared],
        expect: Callable[[FileEvent], None],
        answer: Callable[[FileEvent, Outcome], Rest],
    ) -> None:
        """`prepare` is called by several threads at once, `answer` in order by one at a time.

        `expect` is called while the network looks, so that there is less to do afterwards.
        """
        self._detector = detector
        self._prepare = prepare
        self._expect = expect
        self._answer = answer
        # A decoded picture is large, so only so many are in hand; the others wait as events. One
        # more may be answered, and one cleared up.
        self._limit = DECODERS + detector.lookers * detector.batch + 2
        self._room = threading.Semaphore(self._limit)
        self._decoders = ThreadPoolExecutor(DECODERS, "decode")
        self._begun: queue.SimpleQueue[_Begun | None] = queue.SimpleQueue()
        self._held: list[_Begun | None] = []
        self._taking = threading.Lock()
        """Held by the looker whose turn comes next, so that turns keep the order of the events."""
        self._counting = threading.Lock()
        self._ahead = 0
        """Events that were put and that the network is not done with."""
        self._seen: queue.SimpleQueue[_Turn | tuple[FileEvent, Outcome] | None] = (
            queue.SimpleQueue()
        )
        self._lookers = [
            threading.Thread(target=self._look, name="infer") for _ in range(detector.lookers)
        ]
        self._finisher = threading.Thread(target=self._finish, name="answer")
        self._left: queue.SimpleQueue[Rest | None] = queue.SimpleQueue()
        self._clearer = threading.Thread(target=self._clear, name="rest")
        for thread in (*self._lookers, self._finisher, self._clearer):
            thread.start()

    def put(self, event: FileEvent) -> None:
        """Take an event, waiting until there is room."""
        self._room.acquire()
        self._begin(event)

    def offer(self, event: FileEvent) -> bool:
        """Take an event if there is room; return whether."""
        if not self._room.acquire(blocking=False):
            return False
        self._begin(event)
        return True

    def _begin(self, event: FileEvent) -> None:
        alone = self._count(+1) == 1
        future = None if alone else self._decoders.submit(self._prepare_safely, event)
        self._begun.put((event, future))

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
        self._left.put(None)
        self._clearer.join()
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
            waiting = self._count(-len(turn.pictures))
            answers = self._answer_turn(turn, outcomes)
            if turn.awaited and not waiting:
                answers = list(answers)  # Here and now; otherwise where they are awaited.
            turn.answers.set_result(answers)

    def _take_turn(self) -> _Turn | None:
        """Return the next pictures to look at; what needs no look is answered on the way."""
        with self._taking:
            while (begun := self._held.pop() if self._held else self._begun.get()) is not None:
                event, future = begun
                prepared = self._prepare_safely(event) if future is None else future.result()
                if isinstance(prepared, Prepared):
                    pictures = [(event, prepared), *self._company()]
                    turn = _Turn(pictures, alone=self._ahead == len(pictures))
                    self._seen.put(turn)
                    return turn
                self._count(-1)
                self._seen.put((event, prepared))
            self._held.append(None)  # The other lookers are to end, too.
            return None

    def _count(self, change: int) -> int:
        """Note that events come or are looked at; return how many the network has before it."""
        with self._counting:
            self._ahead += change
            return self._ahead

    def _company(self) -> list[tuple[FileEvent, Prepared]]:
        """Return the pictures next in line that are ready at this moment."""
        found: list[tuple[FileEvent, Prepared]] = []
        while len(found) < self._detector.batch - 1:
            try:
                begun = self._begun.get_nowait()
            except queue.Empty:
                break
            if begun is not None and begun[1] is not None and begun[1].done():
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
                seen.awaited = True
                for rest in seen.answers.result():
                    self._left.put(rest)
            else:
                self._left.put(self._answer_safely(*seen))

    def _answer_turn(self, turn: _Turn, outcomes: list[Outcome]) -> Iterable[Rest]:
        for (event, _), outcome in zip(turn.pictures, outcomes, strict=True):
            yield self._answer_safely(event, outcome)

    def _answer_safely(self, event: FileEvent, outcome: Outcome) -> Rest:
        try:
            return self._answer(event, outcome)
        except Exception:  # noqa: BLE001 - the next one still wants its answer
            # Without an answer the event comes again.
            _log.exception("Answering failed id=%s", event.id)
            return _nothing

    def _clear(self) -> None:
        """Do what nobody waits for, on what the others leave of the processor."""
        with contextlib.suppress(OSError):  # Not everywhere may a thread have its own niceness.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), COURTESY)
        while (rest := self._left.get()) is not None:
            try:
                rest()
            except Exception:  # noqa: BLE001 - the answer was given
                _log.exception("Something was left undone after an answer")
            finally:
                self._room.release()


def _nothing() -> None:
    """Do nothing: there was no answer."""


def _failed(event: FileEvent, error: Exception) -> PictureError:
    _log.error("Analysis failed id=%s path=%r", event.id, event.path, exc_info=error)
    return PictureError("failed", f"the analysis failed: {type(error).__name__}")
