"""New connections, no more at a time than leave the server to those that are open.

Some clients connect without end, and each connection costs as much as several requests. After a
burst, as when all components start, further ones wait in the kernel's queue for their turn.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from verge.nucleus.ipc import connection, limits, server

_ACCEPTS_PER_ROUND = 16  # so that a rush of clients does not hold up those that are connected
_BREATH = 0.01  # s that further connections wait once the burst is used up
_SHORTAGE = 1.0  # s that they wait when the process has no file left for them

logger = logging.getLogger(__name__)


class Door:
    """Accepts what connects to a listening socket."""

    def __init__(
        self,
        owner: server.Server,
        listener: socket.socket,
        make: Callable[[], connection.Connection],
    ) -> None:
        self._owner = owner
        self._listener = listener
        self._make = make
        self._most: limits.Limits = owner.limits
        self._places = float(self._most.connection_burst)
        self._counted = owner.loop.time()
        self._opening: asyncio.TimerHandle | None = None
        self._fresh: set[socket.socket] = set()

    def open(self) -> None:
        """Accept from now on."""
        self._opening = None
        self._owner.loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Accept no more."""
        self._owner.loop.remove_reader(self._listener)
        if self._opening is not None:
            self._opening.cancel()
        for accepted in self._fresh:  # nobody has begun to serve these
            accepted.close()

    def _accept(self) -> None:
        self._count_places()
        for _ in range(_ACCEPTS_PER_ROUND):
            if self._places < 1:
                self._rest(_BREATH)
                return
            try:
                accepted = self._listener.accept()[0]
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.warning("Cannot accept a connection reason=%s", error.strerror)
                self._rest(_SHORTAGE)
                return
            self._places -= 1
            accepted.setblocking(False)
            self._fresh.add(accepted)
            self._owner.spawn(self._serve(accepted), name="new connection")

    def _count_places(self) -> None:
        now = self._owner.loop.time()
        fresh = (now - self._counted) * self._most.connections_per_second
        self._places = min(self._most.connection_burst, self._places + fresh)
        self._counted = now

    def _rest(self, seconds: float) -> None:
        self._owner.loop.remove_reader(self._listener)
        self._opening = self._owner.loop.call_later(seconds, self.open)

    async def _serve(self, accepted: socket.socket) -> None:
        self._fresh.discard(accepted)
        await self._owner.loop.connect_accepted_socket(self._make, accepted)
