"""The daemon: start, serve, shut down."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from verge.nucleus import errors, logs, notify, nucleus, settings
from verge.nucleus.ipc import server
from verge.nucleus.store import database, recovery, state, tree

log = logs.Logger("daemon")


class AlreadyRunningError(errors.NucleusError):
    """Another nucleus serves the same root."""


class Stop:
    """Asks the daemon to end, with the exit code that it is to have."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.code = 0

    def request(self, code: int = 0) -> None:
        """Ask for the end."""
        self.code = code
        self._event.set()

    async def wait(self) -> None:
        """Wait until somebody asks."""
        await self._event.wait()


async def serve(
    configured: settings.Settings,
    *,
    stop: Stop,
    clock: Callable[[], float] = time.time,
    ready: Callable[[], None] = lambda: notify.send("READY=1"),
) -> int:
    """Serve one nucleus root until asked to stop; return the exit code."""
    configured.paths.create()
    with (
        _locked(configured.paths.lock),
        _opened(configured.paths.database) as opened,
    ):
        db, loaded = opened.db, opened.loaded
        own = nucleus.own_trees(configured, loaded)
        configured = configured.configured({name: tree.plain(one) for name, one in own.items()})
        undo_logging = logs.configure(configured.paths.logs, configured.logging)
        if opened.notice:
            log.error(opened.notice)
        try:
            await _serve(configured, db, loaded, stop, clock, ready)
        except ExceptionGroup as group:
            if group.split((errors.NucleusError, OSError))[1] is None:
                raise errors.NucleusError(_sentence(group)) from group
            raise
        finally:
            log.info("Nucleus stopped")
            undo_logging()
    return stop.code


async def _serve(
    configured: settings.Settings,
    db: database.Database,
    loaded: state.DeviceState,
    stop: Stop,
    clock: Callable[[], float],
    ready: Callable[[], None],
) -> None:
    async with asyncio.TaskGroup() as tasks:
        one = nucleus.Nucleus(configured, db, loaded, tasks, clock)
        async with server.serve(one, one.socket) as ipc, one.console():
            one.supervisor.revoked = ipc.disconnect
            one.admit_administrators()
            log.info("Nucleus serves", root=configured.paths.root, version=settings.VERSION)
            ready()
            await one.start(stop.request)
            # What is loaded now stays for good, so the collector need not look at it again.
            gc.freeze()
            await stop.wait()
            notify.send("STOPPING=1")
            log.info("Nucleus stops")
            await one.stop()


def run(root: Path) -> int:
    """Serve until SIGTERM or SIGINT. Raises NucleusError if that cannot be started."""
    configured = settings.load(root)

    async def main() -> int:
        stop = Stop()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.request)
        return await serve(configured, stop=stop)

    try:
        return asyncio.run(main())
    except OSError as error:
        raise errors.NucleusError(f"cannot serve {root}: {error}") from error


def _sentence(error: BaseException) -> str:
    """Return what the innermost error of groups of one says."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[recovery.Opened]:
    opened = recovery.open_database(file)
    try:
        yield opened
    finally:
        opened.db.close()


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                f"cannot serve {file.parent.parent}: another nucleus does already; stop it first"
            ) from None
        yield
    finally:
        os.close(descriptor)
