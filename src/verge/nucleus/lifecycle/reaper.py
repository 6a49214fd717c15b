"""Finds and ends the processes of a component, wherever they have got to.

A step runs in its own session, and everything it starts inherits the component's `SVCUID`; so
what daemonised, changed its group or outlived a killed nucleus is found as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from verge.nucleus import logs

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL (contract 2.9)."""

KILL_LIMIT = 10.0
"""Seconds to wait for killed processes; one in uninterruptible sleep may take longer."""

_PROC = Path("/proc")

log = logs.Logger("reaper")


@dataclass(frozen=True)
class ProcessStat:
    """What /proc says of a process; `started` is in clock ticks since boot."""

    pid: int
    parent: int
    session: int
    started: int
    zombie: bool


def read_stat(pid: int) -> ProcessStat | None:
    """Return the facts about a process, or None if it is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The command name stands in parentheses and may hold anything, so count from its end.
    fields = text.rpartition(")")[2].split()
    return ProcessStat(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0] in "ZX")


def boot_id() -> str:
    """Return what tells this boot of the machine from others."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def find(sessions: Collection[int], tokens: Collection[str]) -> set[int]:
    """Return the live processes of these sessions, their descendants and whoever has a token."""
    marks = [f"SVCUID={token}".encode() for token in tokens]
    stats = list(_all_stats())
    found = {stat.pid for stat in stats if stat.session in sessions or _has_mark(stat.pid, marks)}
    children: dict[int, list[int]] = {}
    for stat in stats:
        children.setdefault(stat.parent, []).append(stat.pid)
    pending = list(found)
    while pending:
        fresh = set(children.get(pending.pop(), ())) - found
        found |= fresh
        pending.extend(fresh)
    return found - {stat.pid for stat in stats if stat.zombie} - {os.getpid()}


async def end(search: Callable[[], set[int]], grace: float = GRACE) -> set[int]:
    """End the processes that the search finds, kindly first; return those that will not go.

    The search is repeated, so what they start meanwhile is ended too.
    """
    for deadline, signal_number in ((grace, signal.SIGTERM), (KILL_LIMIT, signal.SIGKILL)):
        end_of_phase = asyncio.get_running_loop().time() + deadline
        while found := search():
            remaining = end_of_phase - asyncio.get_running_loop().time()
            if remaining <= 0:
                break
            _signal(found, signal_number)
            await _gone(found, remaining)
        else:
            return set()
    return search()


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


async def _gone(pids: Iterable[int], limit: float) -> None:
    """Wait until all these processes have ended, without asking again and again."""
    loop = asyncio.get_running_loop()
    watched: dict[int, asyncio.Future[None]] = {}
    for pid in pids:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue
        ended: asyncio.Future[None] = loop.create_future()
        watched[pidfd] = ended
        loop.add_reader(pidfd, _mark_ended, loop, pidfd, ended)
    try:
        if watched:
            await asyncio.wait(watched.values(), timeout=limit)
    finally:
        for pidfd in watched:
            loop.remove_reader(pidfd)
            os.close(pidfd)


def _mark_ended(loop: asyncio.AbstractEventLoop, pidfd: int, ended: asyncio.Future[None]) -> None:
    loop.remove_reader(pidfd)
    if not ended.done():
        ended.set_result(None)


def _all_stats() -> Iterable[ProcessStat]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (stat := read_stat(int(entry.name))):
            yield stat


def _has_mark(pid: int, marks: Collection[bytes]) -> bool:
    if not marks:
        return False
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(mark in environment for mark in marks)


class Journal:
    """The processes this nucleus has started, for the next one if this one is killed.

    One line for each: process id, start time and token. It needs to outlive the nucleus, not the
    machine, so it is not synced.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def leftovers(self) -> Callable[[], set[int]]:
        """Return a search for what the former nucleus left running."""
        sessions: set[int] = set()
        tokens: set[str] = set()
        with contextlib.suppress(OSError):
            boot, *lines = self._file.read_text(errors="replace").splitlines() or [""]
            for line in lines if boot == boot_id() else ():
                pid, _, rest = line.partition(" ")
                started, _, token = rest.partition(" ")
                if not (pid.isdigit() and started.isdigit() and token):
                    continue
                tokens.add(token)
                stat = read_stat(int(pid))
                # A process id that was given to somebody else must not be ended.
                if stat is None or stat.started == int(started):
                    sessions.add(int(pid))
        return lambda: find(sessions, tokens)

    def begin(self) -> None:
        """Start over."""
        self._file.write_text(boot_id() + "\n")
        self._file.chmod(0o600)

    def add(self, pid: int, token: str) -> None:
        """Note a process. A full or broken disk loses the note, no more."""
        if stat := read_stat(pid):
            try:
                with self._file.open("a") as journal:
                    journal.write(f"{pid} {stat.started} {token}\n")
            except OSError as error:
                log.warning("Process not noted", pid=pid, reason=error)
