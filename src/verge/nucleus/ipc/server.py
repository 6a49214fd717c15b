"""The IPC server: one Unix socket, every connection kept from harming the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from verge.nucleus.ipc import (
    authorization,
    connection,
    door,
    limits,
    listening,
    notes,
    principals,
    turns,
)
from verge.nucleus.ipc.services import (
    configuration,
    consent,
    deployments,
    iot_core,
    lifecycle,
    metrics,
    pubsub,
    secrets,
    shadows,
    tokens,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

    from verge.nucleus.ipc import dispatch, host

_BACKLOG = 1024  # a full one refuses clients that do not wait
_READ_BYTES = 64 * 1024

logger = logging.getLogger(__name__)


class Server:
    """What all connections share. Made by `serve`."""

    def __init__(
        self,
        nucleus: host.Host,
        loop: asyncio.AbstractEventLoop,
        most: limits.Limits,
    ) -> None:
        self.host = nucleus
        self.loop = loop
        self.limits = most
        self.turns = turns.Turns(loop)
        self.strangers = principals.Principal("")
        self.read_buffer = memoryview(bytearray(_READ_BYTES))
        self.dropped_events = 0
        self._running: set[asyncio.Task[None]] = set()
        self.notes = notes.Notes(loop)
        self._authorizer = authorization.Authorizer(nucleus.configuration)
        self._principals = principals.Registry(self._authorizer.forget)
        self._connections: set[connection.Connection] = set()
        self._most_connections = most.connections_here()
        local = pubsub.PubSub(self._authorizer, most)
        services = (
            local,
            configuration.ConfigurationService(nucleus.configuration),
            lifecycle.LifecycleService(nucleus.components, self._authorizer),
            deployments.DeploymentService(nucleus.deployments, self._authorizer),
            consent.ConsentService(nucleus),
            shadows.ShadowService(nucleus.shadows, self._authorizer, local.deliver),
            secrets.SecretService(nucleus.secrets, self._authorizer),
            iot_core.IoTCoreService(nucleus.iot_core, self._authorizer),
            metrics.MetricService(nucleus.metrics, self._authorizer),
            tokens.TokenService(nucleus.components, nucleus.debug_passwords, self._authorizer),
        )
        self.operations: dict[str, dispatch.Operation] = {
            operation.name: operation for service in services for operation in service.operations()
        }

    def principal(self, name: str) -> principals.Principal | None:
        """Return a connected principal, or None."""
        return self._principals.find(name)

    def disconnect(self, name: str) -> None:
        """Cut all connections of a principal, whose token is no longer valid."""
        if (found := self.principal(name)) is not None:
            for member in list(found.connections):
                member.abort()

    # For connections.

    def admit(self, member: connection.Connection) -> bool:
        """Count a new connection in, or return False if it is one too many."""
        if len(self._connections) >= self._most_connections:
            self.notes.note(logger, "Connection refused, too many are open", "anyone")
            return False
        self._connections.add(member)
        strangers = self.strangers.connections
        strangers[member] = None
        if len(strangers) > min(self.limits.strangers, self._most_connections // 4):
            oldest = next(iter(strangers))
            del strangers[oldest]
            oldest.abort()
        return True

    def join(self, member: connection.Connection, name: str) -> bool:
        """Make a connection one of the named principal's, or return False if it has too many."""
        known = self._principals.find(name)
        most = min(self.limits.principal_connections, self._most_connections // 4)
        if known is not None and len(known.connections) >= most:
            return False
        self.strangers.connections.pop(member, None)
        member.principal = self._principals.join(name, member)
        return True

    def release(self, member: connection.Connection) -> None:
        """Count a connection out."""
        self._connections.discard(member)
        if member.principal is self.strangers:
            self.strangers.connections.pop(member, None)
        else:
            self._principals.leave(member.principal, member)

    def note_drop(self, member: connection.Connection) -> None:
        """Count an event that a client was too slow to get, and log that now and then."""
        self.dropped_events += 1
        self.notes.note(logger, "Event dropped, the subscriber is slow", member.principal.name)

    def note_refusal(self, member: connection.Connection, reason: str) -> None:
        """Log that a connection was refused, with the reason of the first of many."""
        name = member.principal.name or "unknown"
        self.notes.note(logger, "Connection refused", name, reason)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run what takes time; it ends at the latest with the server."""
        task = self.loop.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Cut all connections, cancel what still runs, and wait for its end."""
        for member in list(self._connections):
            member.abort()
        for task in self._running:
            task.cancel()
        self.notes.close()
        await asyncio.gather(*self._running, return_exceptions=True)
        await asyncio.sleep(0)  # connections that were cut are told in this round


@contextlib.asynccontextmanager
async def serve(
    nucleus: host.Host, socket_path: Path, *, most: limits.Limits | None = None
) -> AsyncIterator[Server]:
    """Listen at the socket path until left, then cut all connections and remove the socket.

    The host is called from this event loop only, and must call back from it only. Raises
    ListenError if something else listens there or the path cannot be used.
    """
    loop = asyncio.get_running_loop()
    server = Server(nucleus, loop, most or limits.Limits())
    with listening.at(socket_path) as listener:
        listener.listen(_BACKLOG)
        entrance = door.Door(server, listener, lambda: connection.Connection(server))
        entrance.open()
        try:
            yield server
        finally:
            entrance.close()
            await server.close()
