"""How much one client may take, so that it can harm only itself."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from verge.nucleus.ipc import framing

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Limits:
    """Limits of the server; a principal is a component or a user of the command line.

    Sizes are bytes, times seconds.
    """

    message: int = framing.MAX_MESSAGE_BYTES
    """The longest message taken from a client that has shaken hands."""
    greeting: int = 64 * KIB
    """The longest message taken before that; a CONNECT has about 200 bytes."""
    subscription_request: int = 64 * KIB
    """The longest request of a streaming operation, since its subscription outlives it."""
    handshake: float = 10.0
    """The AWS clients give up after the same time (contract 4.4)."""
    farewell: float = 0.5
    """Time for a refused client to read why and to close."""
    connection_burst: int = 512
    """Connections accepted at once, as many as components may start together."""
    connections_per_second: float = 400.0
    """Connections accepted after a burst; a client that connects without end gets no more."""
    connections: int = 4096
    strangers: int = 256
    """Connections before the handshake; the oldest goes when a further one comes."""
    principal_connections: int = 256
    principal_streams: int = 4096
    principal_filters: int = 2 * MIB
    """Cost of the topic filters of one principal, as `pubsub` counts it."""
    principal_arriving: int = 48 * MIB
    """Bytes of incomplete messages of one principal: a longest one, and half of another."""
    queued_events: int = 10_000
    """Messages waiting for one slow connection; further events are dropped."""
    queued_bytes: int = 4 * MIB
    """As above, in bytes. A longer event passes if nothing else waits."""
    principal_queued_bytes: int = 64 * MIB
    """As above, for all connections of one principal: two of the longest events, and more."""
    counted_at_once: int = 64 * KIB
    """An event this long counts as queued at once, a shorter one at the end of the turn."""
    unread_answers: int = 256 * KIB
    """Bytes of answers waiting above which a client's requests wait too."""
    running_calls: int = 16
    """Calls of one connection that take time, above which its further requests wait."""
    long_bytes_per_second: int = 128 * MIB
    """Bytes of long messages of one principal; each is followed by a rest that keeps to this.

    To read and check a long message takes 10 to 100 ms, in which nobody else is served.
    """
    turn: int = 8
    """Requests of one principal that are served before the next one's."""

    def connections_here(self) -> int:
        """Return how many connections fit into what the process may open at all.

        Half of the files are left to the rest of the nucleus, which must start components even
        while a client opens connections without end.
        """
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return max(16, min(self.connections, files // 2))
