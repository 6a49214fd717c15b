"""Turns: every principal gets the same share of the server, whatever it sends.

What arrives is served at once as long as its principal has nothing waiting. If more arrives than
one turn's requests, the connection is not read any further and waits; each round of the event loop
then serves one turn of every principal that waits, between which everybody else is served. Who
sends a long message, which takes as long as a thousand others, rests after it.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from verge.nucleus.ipc import connection, principals


class Turns:
    """The connections that wait for their turn, and the connections with something to send."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: collections.deque[principals.Principal] = collections.deque()
        self._unsent: list[connection.Connection] = []
        self._serving = False
        self._flush_due = False

    def arrived(self, member: connection.Connection) -> None:
        """Serve what has arrived on a connection, now or in its turn."""
        if member.principal.backlog or member.principal.resting:
            self._wait(member)
            return
        self._serve(member)
        self._flush()

    def rest(self, principal: principals.Principal, seconds: float) -> None:
        """Serve a principal no more for that time."""
        principal.resting = True
        self._loop.call_later(seconds, self._rested, principal)

    def wake(self, member: connection.Connection) -> None:
        """Let a connection that was blocked by its own slowness wait for its turn again."""
        self._wait(member)

    def has_unsent(self, member: connection.Connection) -> None:
        """Send what a connection has queued, at the end of this turn or soon."""
        self._unsent.append(member)
        if not self._serving and not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _serve(self, member: connection.Connection) -> None:
        self._serving = True
        try:
            if member.serve_turn():
                self._wait(member)
        finally:
            self._serving = False

    def _wait(self, member: connection.Connection) -> None:
        if member.waiting:
            return
        member.waiting = True
        member.read_or_pause()
        member.principal.backlog.append(member)
        self._schedule(member.principal)

    def _schedule(self, principal: principals.Principal) -> None:
        if principal.backlog and not (principal.scheduled or principal.resting):
            principal.scheduled = True
            self._waiting.append(principal)
            if len(self._waiting) == 1:
                self._loop.call_soon(self._round)

    def _rested(self, principal: principals.Principal) -> None:
        principal.resting = False
        self._schedule(principal)

    def _round(self) -> None:
        waiting, self._waiting = self._waiting, collections.deque()
        for principal in waiting:
            principal.scheduled = False
            if principal.resting:
                continue
            member = principal.backlog.popleft()
            member.waiting = False
            self._schedule(principal)
            self._serve(member)
            member.read_or_pause()
        self._flush()

    def _flush(self) -> None:
        self._flush_due = False
        unsent, self._unsent = self._unsent, []
        # Who asked is answered last: woken first, it would take the processor from those who wait
        # for what it has sent.
        for member in reversed(unsent):
            member.flush()
