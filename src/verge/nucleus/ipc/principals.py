"""Who is connected, and what each takes of the server."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from verge.nucleus.ipc import authorization

if TYPE_CHECKING:
    from collections.abc import Callable

    from verge.nucleus.ipc import connection


class Principal:
    """A component or a user of the command line, with all its connections.

    The counters are kept by its connections and by the services, against `limits.Limits`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_cli = name.startswith(authorization.CLI_PREFIX)
        self.connections: dict[connection.Connection, None] = {}
        """In the order in which they came."""
        self.streams = 0
        self.filters = 0
        self.arriving = 0
        """Bytes of incomplete messages."""
        self.queued = 0
        """Bytes that wait because a connection does not read."""
        self.backlog: collections.deque[connection.Connection] = collections.deque()
        """Connections whose requests have arrived and wait for their turn."""
        self.scheduled = False
        """Whether it has a turn in the next round."""
        self.resting = False
        """Whether it waits because of a long message."""


class Registry:
    """The principals that have a connection now."""

    def __init__(self, gone: Callable[[str], None]) -> None:
        self._principals: dict[str, Principal] = {}
        self._gone = gone

    def find(self, name: str) -> Principal | None:
        """Return a connected principal, or None."""
        return self._principals.get(name)

    def join(self, name: str, member: connection.Connection) -> Principal:
        """Add a connection to its principal, which is created for the first one."""
        principal = self._principals.setdefault(name, Principal(name))
        principal.connections[member] = None
        return principal

    def leave(self, principal: Principal, member: connection.Connection) -> None:
        """Take a connection away; with the last one the principal goes, too."""
        principal.connections.pop(member, None)
        if not principal.connections and self._principals.get(principal.name) is principal:
            del self._principals[principal.name]
            self._gone(principal.name)
