"""Acknowledgements wait until what they acknowledge is on the disk.

mosquitto keeps sessions and messages in memory, acknowledges at once, and writes all of it to a
file from time to time: killed in between, it forgets what it has acknowledged. It can be asked to
save, and replaces the file after an fsync. So the gate holds acknowledgements back, asks, and lets
them go when the file has been replaced: all that were held when it asked share one save.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

POLL = 0.002
FIRST_POLL = 0.8  # of the time the last save took
# A request during a save is lost on mosquitto, so it has time to finish. A region takes as long to
# answer, and who runs devices beside the cloud needs the processor for them.
MIN_GAP = 0.05
GAP_FACTOR = 3.0  # of the time a save took: it serves nobody meanwhile
ASK_AGAIN = 1.0
COMPLAIN = 10.0

_log = logging.getLogger(__name__)


class Held(NamedTuple):
    """An acknowledgement by one of mosquitto's processes."""

    generation: int
    release: Callable[[], None]


class Saver:
    """Holds acknowledgements back; belongs to one event loop."""

    def __init__(
        self, *, file: Path, save: Callable[[], None], generation: Callable[[], int]
    ) -> None:
        self._file = file
        self._save = save
        self._generation = generation
        self._held: list[Held] = []
        self._task: asyncio.Task[None] | None = None
        self._took = 0.0
        """Seconds of the last save."""

    def hold(self, generation: int, release: Callable[[], None]) -> None:
        """Call `release` when all that this process of mosquitto knows now has been saved.

        It is never called if the process ends before that.
        """
        self._held.append(Held(generation, release))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="save acknowledged messages")

    async def stop(self) -> None:
        """Let nothing go any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._held:
                batch, self._held = self._held, []
                began = loop.time()
                await self._save_once()
                self._took = loop.time() - began
                for held in batch:
                    # A later process may never have heard of what an earlier one acknowledged.
                    if held.generation == self._generation():
                        held.release()
                await asyncio.sleep(max(MIN_GAP, GAP_FACTOR * self._took))
        finally:
            self._task = None

    async def _save_once(self) -> None:
        """Return when a save that began after this call has ended, or the process has."""
        loop = asyncio.get_running_loop()
        generation, before = self._generation(), self._version()
        began = asked = loop.time()
        complained = False
        self._save()
        pause = min(ASK_AGAIN, max(POLL, FIRST_POLL * self._took))
        while self._version() == before and self._generation() == generation:
            await asyncio.sleep(pause)
            pause = POLL
            now = loop.time()
            if now - asked > ASK_AGAIN:
                asked = now
                self._save()
            if now - began > COMPLAIN and not complained:
                complained = True
                _log.error("Acknowledgements wait: mosquitto cannot save %s", self._file)

    def _version(self) -> tuple[int, int] | None:
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns
