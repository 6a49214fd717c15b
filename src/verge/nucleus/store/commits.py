"""Group commit: writes asked for in one round of the event loop share one sync of the disk.

A sync costs milliseconds and holds the event loop up, so a hundred components that write at once
must not cost a hundred of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from verge.nucleus import errors

if TYPE_CHECKING:
    from verge.nucleus.store import database

Result = TypeVar("Result")


class Commits:
    """The writes that wait for the next shared transaction of a database."""

    def __init__(self, db: database.Database) -> None:
        self._db = db
        self._waiting: list[_Write] = []

    async def write(
        self,
        work: Callable[[], Result],
        undo: Callable[[Result], None] = lambda _: None,
    ) -> Result:
        """Do the work soon, and return what it returns once it is on disk.

        Works are done in the order in which they came, each seeing those before it. What one
        raises undoes it alone and is raised here. If the disk fails, StoreError is raised here and
        `undo` takes back, newest first, what the works have changed in memory.
        """
        loop = asyncio.get_running_loop()
        written: asyncio.Future[Result] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._commit)
        self._waiting.append(_Write(work, undo, written))
        return await written

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        done: list[tuple[_Write, Any]] = []
        try:
            with self._db.transaction():
                for write in waiting:
                    try:
                        with self._db.part():
                            done.append((write, write.work()))
                    except errors.StoreError:
                        raise
                    except Exception as error:  # noqa: BLE001  # raised to whom it concerns
                        write.fail(error)
        except errors.StoreError as error:
            for write, result in reversed(done):
                write.undo(result)
            for write in waiting:
                write.fail(error)
            return
        for write, result in done:
            write.succeed(result)


class _Write:
    """One piece of work and who waits for it, who may have gone meanwhile."""

    def __init__(
        self, work: Callable[[], Any], undo: Callable[[Any], None], written: asyncio.Future[Any]
    ) -> None:
        self.work = work
        self.undo = undo
        self._written = written

    def succeed(self, result: Any) -> None:
        if not self._written.done():
            self._written.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self._written.done():
            self._written.set_exception(error)
