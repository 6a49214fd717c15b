"""The gate in front of mosquitto: who a device is, which session is its own, what it may do.

mosquitto can neither tie a client id to a certificate nor check subscriptions, so both happen here
(decision 0011). Everything else of MQTT is mosquitto's.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from verge.cloud import ports
from verge.cloud import settings as configuration
from verge.cloud.broker import (
    admission,
    authorization,
    backlog,
    filters,
    mosquitto,
    opening,
    packets,
    relay,
    saver,
    tls,
)

HANDSHAKE_TIMEOUT = 10
BROKER_TIMEOUT = 5.0
RECHECK_FACTOR = 4.0  # a pause of so many times what a check of all connections took
SYSTEM_ID = "verge/cloud"
"""The client id of the cloud itself; the names of things hold no slash."""

_RETRY = 0.002

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Gate:
    """Runs in one event loop; `recheck` may be called from any thread."""

    def __init__(
        self,
        *,
        settings: configuration.Settings,
        things: ports.Things,
        context: ssl.SSLContext,
        broker: mosquitto.Mosquitto,
        backlog: backlog.Backlog,
    ) -> None:
        self._settings = settings
        self._admission = admission.Admission(settings=settings, things=things)
        self._context = context
        self._broker = broker
        self._backlog = backlog
        self._saver = saver.Saver(
            file=broker.database, save=broker.save, generation=lambda: broker.generation
        )
        # The registry may make a caller wait; nobody else's packets wait with it.
        self._threads = concurrent.futures.ThreadPoolExecutor(2, "gate")
        self._admitted: set[admission.Admitted] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.Transport] = set()
        self._changes = 0
        self._changed = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._rechecks: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.port = settings.mqtt_port

    @property
    def connections(self) -> int:
        """How many devices are connected."""
        return len(self._admitted)

    async def start(self, system_socket: str) -> None:
        """Listen for devices, and for the cloud itself on a Unix socket. Raises SettingsError."""
        self._loop = asyncio.get_running_loop()
        self._servers.append(await asyncio.start_unix_server(self._serve_system, system_socket))
        for address in self._settings.device_addresses:
            server = await tls.listen(
                address,
                self.port,
                self._context,
                self._serve_device,
                handshake_timeout=HANDSHAKE_TIMEOUT,
                open_transports=self._open,
            )
            self.port = server.sockets[0].getsockname()[1]
            self._servers.append(server)
        self._rechecks = asyncio.create_task(self._recheck_on_change())

    async def stop(self) -> None:
        """Stop listening and cut all connections."""
        for server in self._servers:
            server.close()
        if self._rechecks is not None:
            self._rechecks.cancel()
        await self._saver.stop()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for transport in tuple(self._open):
            transport.abort()
        await asyncio.sleep(0)  # transports say goodbye in the next turn of the loop
        self._threads.shutdown(wait=False, cancel_futures=True)

    def recheck(self) -> None:
        """Look at every connection again, because certificates or policies changed."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._note_change)

    def _note_change(self) -> None:
        self._changes += 1
        self._changed.set()

    async def _recheck_on_change(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._changed.wait()
            self._changed.clear()
            began = loop.time()
            try:
                judged = await self._ask(self._admission.judge, tuple(self._admitted))
            except Exception:  # noqa: BLE001  # its trouble must not open the door for good
                _log.exception("Connections cannot be checked; checking again")
                self._changed.set()
                judged = []
            for admitted, permissions in judged:
                if permissions is None:
                    _log.info("Connection cut thing=%s", admitted.device.thing)
                    admitted.cut()
                else:
                    admitted.permissions = permissions
            await asyncio.sleep(RECHECK_FACTOR * (loop.time() - began))

    async def _serve_device(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        opening.watch_peer(writer)
        await self._serve(writer, self._let_in(reader, writer))

    async def _serve_system(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await self._serve(writer, self._let_system_in(reader, writer))

    async def _serve(self, writer: asyncio.StreamWriter, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # only tasks run coroutines here
        self._serving.add(task)
        try:
            await work
        except opening.Refusal as refusal:
            _log.info("Connection refused reason=%s", refusal)
            writer.write(refusal.answer)
        except (OSError, EOFError, TimeoutError, packets.PacketError) as error:
            _log.debug("Connection ended reason=%s", error)
        except asyncio.CancelledError:
            writer.transport.abort()
        except Exception:  # noqa: BLE001  # one connection must not end the others
            _log.exception("Connection failed")
        finally:
            self._serving.discard(task)
            writer.close()

    async def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = tls.certificate(writer)
        changes = self._changes
        device = None
        if certificate is not None:
            device = await self._ask(self._admission.authenticate, certificate)
        if certificate is None or device is None:
            writer.transport.abort()
            return
        begun = await opening.read_connect(reader)
        admitted = admission.Admitted(
            certificate=certificate,
            device=device,
            client_id=begun.connect.client_id,
            permissions=await self._permit(device, begun.connect),
            cut=writer.transport.abort,
        )
        self._admitted.add(admitted)
        if self._changes != changes:
            self._changed.set()
        try:
            rules = filters.Filter(
                begun.connect.level, lambda: admitted.permissions, self._backlog.came
            )
            await self._relay((reader, writer), begun, rules, full=lambda: self._backlog.full)
        finally:
            self._admitted.discard(admitted)

    async def _permit(
        self, device: ports.Device, connect: packets.Connect
    ) -> authorization.Permissions:
        if not authorization.owns(connect.client_id, device.thing):
            raise opening.Refusal(connect.level, packets.Reason.CLIENT_ID)
        permissions = await self._ask(self._admission.permissions, device, connect.client_id)
        will = connect.will
        if not permissions.connect() or (
            will is not None and not permissions.publish(will.topic, retain=will.retain)
        ):
            raise opening.Refusal(connect.level, packets.Reason.NOT_AUTHORIZED)
        return permissions

    async def _let_system_in(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        begun = await opening.read_connect(reader)
        if begun.connect.client_id != SYSTEM_ID:
            raise opening.Refusal(begun.connect.level, packets.Reason.CLIENT_ID)
        rules = filters.Filter(begun.connect.level, lambda: None)
        await self._relay((reader, writer), begun, rules, full=lambda: False)

    async def _relay(
        self,
        device: relay.Stream,
        begun: opening.Opening,
        rules: filters.Filter,
        full: Callable[[], bool],
    ) -> None:
        try:
            broker, generation = await self._reach_broker()
        except (OSError, TimeoutError):
            raise opening.Refusal(begun.connect.level, packets.Reason.UNAVAILABLE) from None
        try:
            # The broker is not to see secrets of the device; it asks for none.
            connect = begun.connect._replace(user_name=None, password=None)
            await relay.Relay(
                device=device,
                broker=broker,
                rules=rules,
                acknowledgements=self._saver,
                generation=generation,
                full=full,
            ).run(begun.splitter, connect.encode())
        except asyncio.CancelledError:
            broker[1].transport.abort()  # at the end nobody waits for what is unsent
            raise
        finally:
            broker[1].close()

    async def _reach_broker(self) -> tuple[relay.Stream, int]:
        """Connect to mosquitto; return also which of its processes it is."""
        async with asyncio.timeout(BROKER_TIMEOUT):
            while True:
                generation = self._broker.generation
                sock = socket.socket(socket.AF_UNIX)
                sock.setblocking(False)
                try:
                    # Its queue of connections is short: a full one says "try again".
                    sock.connect(self._broker.address)
                except (BlockingIOError, ConnectionRefusedError, FileNotFoundError):
                    sock.close()
                    await asyncio.sleep(_RETRY)
                    continue
                stream = await asyncio.open_unix_connection(sock=sock)
                if generation == self._broker.generation:
                    return stream, generation
                stream[1].close()

    async def _ask(self, question: Callable[..., T], *values: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, question, *values)
