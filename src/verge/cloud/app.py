"""All parts of the local cloud put together, started and stopped in order."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from pathlib import Path

import msgspec
from werkzeug.wrappers import Request, Response

from verge.cloud import aws, console, database, edge, greengrass, jobs, objects, precedence, shadows
from verge.cloud import settings as configured
from verge.cloud.aws import operations
from verge.cloud.broker import broker
from verge.cloud.fleet_status import intake
from verge.cloud.http import application, server
from verge.cloud.identity import api, authority

_log = logging.getLogger(__name__)

# What AWS serves without a signature, and moto's own settings. All else that has none is refused,
# as S3 refuses it.
_UNSIGNED = ("/latest/", "/moto-api/", console.PATH)


class Cloud:
    """The local cloud in one process; listens from its construction, serves from `start`."""

    def __init__(self, settings: configured.Settings) -> None:
        """Raises CloudError, also if an address or a port cannot be had."""
        self._settings = settings
        self._ended = contextlib.ExitStack()
        with contextlib.ExitStack() as failed:
            failed.push(self._ended)
            self._build()
            failed.pop_all()

    def _build(self) -> None:
        settings = self._settings
        settings.state.mkdir(parents=True, exist_ok=True)
        self._api = server.Server(
            settings.api_address,
            settings.api_port,
            application.Application(self._answer),
            during=precedence.ANSWERS.held,
        )
        self._ended.callback(self._api.server_close)
        rows = database.Database(
            settings.database,
            [
                aws.SCHEMA,
                objects.SCHEMA,
                jobs.SCHEMA,
                shadows.SCHEMA,
                greengrass.SCHEMA,
                edge.SCHEMA,
            ],
        )
        self._ended.callback(rows.close)
        self._backend = aws.Backend(database=rows, settings=settings)
        things = aws.Things(backend=self._backend)
        sessions = aws.Sessions(database=rows)
        storage = objects.Storage(
            database=rows, backend=self._backend, sessions=sessions, settings=settings
        )
        ca = authority.Authority(settings=settings)
        self._broker = broker.Broker(settings=settings, things=things, authority=ca)
        bus = self._broker.bus
        self._jobs = jobs.Engine(database=rows, things=things, bus=bus, settings=settings)
        self._shadows = shadows.Registry(database=rows, things=things, bus=bus)
        self._events = aws.Events(backend=self._backend)
        self._greengrass = greengrass.Service(
            database=rows,
            things=things,
            objects=storage.files,
            jobs=self._jobs,
            shadows=self._shadows,
            events=self._events,
            settings=settings,
        )
        self._intake = intake.Intake(bus=bus, core_devices=self._greengrass)
        self._s3 = storage.service(self._greengrass)
        self._listeners = edge.Listeners(
            settings=settings,
            authority=ca,
            things=things,
            sessions=sessions,
            greengrass=self._greengrass,
            s3=self._s3.handle_device,
            database=rows,
        )
        self._ended.callback(self._listeners.stop)
        identity = api.Api(
            settings=settings,
            authority=ca,
            registry=self._backend,
            device_port=lambda: self._listeners.device_port,
        )
        page = console.Console(settings=settings, ask=self._greengrass.ask, jobs=self._jobs)
        self._routed = application.by_route(
            [
                *self._greengrass.routes(),
                *self._jobs.routes(),
                *self._shadows.routes(),
                *identity.routes(),
                *page.routes(),
            ],
            self._backend.handle,
        )

    def start(self) -> configured.Endpoints:
        """Take up what an earlier process left, then serve. Raises CloudError."""
        begun = time.monotonic()
        replayed = self._backend.replay()
        _log.info("Registry restored requests=%d seconds=%.1f", replayed, time.monotonic() - begun)
        try:
            for part in (self._events, self._jobs, self._shadows, self._greengrass):
                part.start()
                self._ended.callback(part.stop)
            self._intake.start()
            self._broker.start()
            self._ended.callback(self._broker.stop)
            self._listeners.start()
            self._api.start()
            self._ended.callback(self._api.stop)
        except BaseException:
            self.stop()
            raise
        endpoints = self._endpoints()
        write_atomically(self._settings.endpoints, msgspec.json.encode(endpoints))
        self._ended.callback(self._settings.endpoints.unlink, missing_ok=True)
        return endpoints

    def stop(self) -> None:
        """Stop serving, in the reverse order of starting."""
        self._ended.close()

    def _answer(self, request: Request) -> Response:
        return self._s3.handle(request) if _is_s3(request) else self._routed(request)

    def _endpoints(self) -> configured.Endpoints:
        settings = self._settings
        return configured.Endpoints(
            pid=os.getpid(),
            api=f"http://{self._api.address}:{self._api.port}",
            region=settings.region,
            account=settings.account,
            device_addresses=settings.device_addresses,
            device_port=self._listeners.device_port,
            mqtt_port=self._broker.port,
            ca_certificate=str(settings.ca_certificate.absolute()),
            https_port=self._listeners.https_port,
        )


def _is_s3(request: Request) -> bool:
    named = operations.scope(request)
    if named is not None:
        return named.service == "s3" and not request.path.startswith("/v20180820/")
    if "Authorization" in request.headers or "X-Amz-Target" in request.headers:
        return False
    if (
        request.path.startswith(_UNSIGNED)
        or request.mimetype == "application/x-www-form-urlencoded"
    ):
        return False
    return "Action" not in request.args


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file at once: a reader sees the old or the new one."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
