"""The TLS ports of devices, each of which serves the data plane, credentials and S3."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Mapping

from werkzeug.wrappers import Request, Response

from verge.cloud import database as db
from verge.cloud import ports, precedence
from verge.cloud import settings as configuration
from verge.cloud.edge import credentials, data_plane, guard, links
from verge.cloud.http import application, routing, server
from verge.cloud.identity import authority as authorities

SCHEMA = credentials.SCHEMA

AT_ONCE = 2
"""Requests of devices that are worked on at a time, however many devices ask at once: they compute,
so more threads would finish none of them sooner, only make everybody else's turn come later."""

_OURS = ("/greengrass/", "/role-aliases/")
_ENDED = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>ExpiredToken</Code><Message>The provided token has expired: the certificate it was \
given for could not get it any more.</Message></Error>"""


class Listeners:
    """Listens from its construction on every device address, serves from `start` to `stop`.

    A client certificate is asked for and, where it matters, demanded; one of a foreign authority
    ends the handshake. What names a bucket in its host, or has no other route, goes to S3.
    """

    def __init__(
        self,
        *,
        settings: configuration.Settings,
        authority: authorities.Authority,
        things: ports.Things,
        sessions: ports.Sessions,
        greengrass: data_plane.Greengrass,
        s3: application.Handle,
        database: db.Database,
    ) -> None:
        """Raises SettingsError for an address or port that cannot be had."""
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        watch = guard.Guard(settings=settings, things=things)
        self._s3 = s3
        self._s3_host = re.compile(
            rf"(?:.+\.)?s3[.-]{re.escape(settings.region)}\.amazonaws\.com(?::\d+)?"
        )
        self._credentials = credentials.Credentials(
            guard=watch, things=things, sessions=sessions, database=database
        )
        plane = data_plane.DataPlane(
            guard=watch, things=things, greengrass=greengrass, links=links.Links()
        )
        routes = (*plane.routes(), *self._credentials.routes())
        self._devices = application.by_route(
            [each._replace(handler=self._in_turn(each.handler)) for each in routes],
            self._otherwise,
        )
        context = authority.context(ssl.CERT_OPTIONAL)
        self._servers: list[server.Server] = []
        try:
            self.device_port = self._listen(settings, context, settings.device_port)
            self.https_port = (
                None
                if settings.https_port is None
                else self._listen(settings, context, settings.https_port, "--https-port")
            )
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Serve."""
        for each in self._servers:
            each.start()

    def stop(self) -> None:
        """Finish what has begun, and close."""
        for each in self._servers:
            each.stop()

    def handle(self, request: Request) -> Response:
        """Answer any request of a device."""
        if self._s3_host.fullmatch(request.host):
            return self._object(request)
        return self._devices(request)

    def _listen(
        self,
        settings: configuration.Settings,
        context: ssl.SSLContext,
        port: int,
        option: str = "--device-port",
    ) -> int:
        for address in settings.device_addresses:
            listener = server.Server(
                address,
                port,
                application.Application(self.handle),
                context=context,
                option=option,
            )
            self._servers.append(listener)
            port = listener.port
        return port

    def _in_turn(self, handler: routing.Handler) -> routing.Handler:
        """Return a handler that few threads are in at a time, none of which waits for a client."""
        refusing = data_plane.refusing(handler)

        def answer(request: Request, in_path: Mapping[str, str]) -> Response:
            request.get_data()
            with self._turns:
                precedence.ANSWERS.give_way()
                return refusing(request, in_path)

        return answer

    def _otherwise(self, request: Request) -> Response:
        if routing.raw_path(request).startswith(_OURS):
            return application.unknown(request)
        return self._object(request)

    def _object(self, request: Request) -> Response:
        if self._credentials.ended(request):
            return Response(_ENDED, 403, content_type="application/xml")
        return self._s3(request)
