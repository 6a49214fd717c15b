"""From WSGI to a function that takes a request and returns a response; errors in one envelope."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from werkzeug import exceptions
from werkzeug.wrappers import Request, Response

from verge.cloud.http import answers, routing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_log = logging.getLogger(__name__)

Handle = Callable[[Request], Response]
"""Answers any request."""


class Application:
    """The WSGI application of a listener."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer one request; whatever is raised becomes an error that clients can read."""
        request = Request(environ)
        try:
            response = self._handle(request)
        except exceptions.ClientDisconnected:
            raise ConnectionResetError from None
        except exceptions.HTTPException as error:
            code = type(error).__name__ + "Exception"
            response = answers.error(error.code or 500, code, error.description or error.name)
        except Exception:  # noqa: BLE001  # one request must not end the others
            _log.exception("Request failed: %s %s", request.method, routing.raw_path(request))
            response = answers.error(
                500,
                "InternalServerException",
                f"internal error: cannot answer {request.method} {routing.raw_path(request)}; "
                "the log of the local cloud says why",
            )
        return response(environ, start)


def by_route(routes: Iterable[routing.Route], otherwise: Handle) -> Handle:
    """Answer what has a route with its handler, and all else with `otherwise`."""
    table = routing.Table(routes)

    def handle(request: Request) -> Response:
        found = table.find(request)
        return otherwise(request) if found is None else found[0](request, found[1])

    return handle


def unknown(request: Request) -> Response:
    """Say that nothing answers this request."""
    return answers.error(
        404,
        "UnknownOperationException",
        f"cannot handle {request.method} {routing.raw_path(request)}: no such operation in the "
        "local cloud",
    )
