"""MQTT for devices and for the cloud: mosquitto, the gate in front of it, and the bus."""

from __future__ import annotations

import asyncio
import logging
import resource
import ssl
import threading
from collections.abc import Coroutine
from typing import Any

from verge.cloud import errors, ports
from verge.cloud import settings as configuration
from verge.cloud.broker import backlog, bus, gate, mosquitto
from verge.cloud.identity import authority as authorities

FILES = 65_536
"""Open files that are asked for: three for each connected device, one of them mosquitto's."""
RENEW_EVERY = 3600.0
START_TIMEOUT = 15.0

_log = logging.getLogger(__name__)


class Broker:
    """Runs from `start` to `stop`; `bus` may be given handlers before."""

    def __init__(
        self,
        *,
        settings: configuration.Settings,
        things: ports.Things,
        authority: authorities.Authority,
    ) -> None:
        """Raises BrokerError if there is no mosquitto."""
        self._authority = authority
        self._mosquitto = mosquitto.Mosquitto(settings.state / "broker")
        waiting = backlog.Backlog()
        self.bus = bus.Bus(client_id=gate.SYSTEM_ID, backlog=waiting)
        self._gate = gate.Gate(
            settings=settings,
            things=things,
            context=authority.context(ssl.CERT_REQUIRED),
            broker=self._mosquitto,
            backlog=waiting,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        things.on_change(self._gate.recheck)

    @property
    def port(self) -> int:
        """Where devices are served, on each of their addresses."""
        return self._gate.port

    @property
    def connections(self) -> int:
        """How many devices are connected."""
        return self._gate.connections

    @property
    def mosquitto_pid(self) -> int | None:
        """The process of mosquitto; None while it is being restarted."""
        return self._mosquitto.pid

    def start(self) -> None:
        """Return when devices can connect. Raises BrokerError, SettingsError."""
        allow_files(FILES)
        self._mosquitto.start()
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        try:
            socket = self._mosquitto.path("system.sock")
            self._do(self._loop, self._gate.start(socket))
            self._start_bus(socket)
        except BaseException:
            self.stop()
            raise
        self._loop.call_soon_threadsafe(self._renew, self._loop)

    def stop(self) -> None:
        """Disconnect everyone; mosquitto saves what it knows."""
        loop, self._loop = self._loop, None
        if loop is not None:
            self.bus.stop()
            self._do(loop, self._gate.stop())
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()
        self._mosquitto.stop()

    def _start_bus(self, socket: str) -> None:
        self.bus.start(socket)
        if not self.bus.wait_online(START_TIMEOUT):
            raise errors.BrokerError(f"cannot reach mosquitto: {self._mosquitto.last_words()}")

    def _do(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(START_TIMEOUT)

    def _run(self) -> None:
        if self._loop is not None:
            self._loop.run_forever()

    def _renew(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._authority.renew()
        except errors.StateError as error:
            _log.error("%s", error)  # the sentence says it all
        loop.call_later(RENEW_EVERY, self._renew, loop)


def allow_files(wanted: int) -> None:
    """Raise this process's own limit of open files as far as it may, for it and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
