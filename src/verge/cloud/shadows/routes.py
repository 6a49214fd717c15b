"""`iot-data`: shadows over HTTP, with botocore's shapes."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable, Mapping, Sequence

from werkzeug.wrappers import Request, Response

from verge.cloud.http import answers, routing
from verge.cloud.shadows import documents, errors, service

PAGE = 100
_NAMES = {
    errors.INVALID: "InvalidRequestException",
    errors.NOT_FOUND: "ResourceNotFoundException",
    errors.CONFLICT: "ConflictException",
    errors.TOO_LARGE: "RequestEntityTooLargeException",
}


def of(service: service.Service, clock: Callable[[], float]) -> Sequence[routing.Route]:
    """Return GetThingShadow, UpdateThingShadow, DeleteThingShadow, ListNamedShadowsForThing."""

    def get(request: Request, values: Mapping[str, str]) -> Response:
        return answers.document(service.get(values["thing"], request.args.get("name")))

    def update(request: Request, values: Mapping[str, str]) -> Response:
        change = documents.parse(request.get_data())
        return answers.document(service.update(values["thing"], request.args.get("name"), change))

    def delete(request: Request, values: Mapping[str, str]) -> Response:
        return answers.document(service.delete(values["thing"], request.args.get("name")))

    def names(request: Request, values: Mapping[str, str]) -> Response:
        found = service.names(values["thing"])
        start, size = _start(request.args.get("nextToken")), _size(request.args.get("pageSize"))
        answer = {"results": found[start : start + size], "timestamp": int(clock())}
        if start + size < len(found):
            answer["nextToken"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
        return answers.document(answer)

    shadow = "/things/{thing}/shadow"
    return tuple(
        routing.Route.of(method, path, _answering(handler))
        for method, path, handler in (
            ("GET", shadow, get),
            ("POST", shadow, update),
            ("DELETE", shadow, delete),
            ("GET", "/api/things/shadow/ListNamedShadowsForThing/{thing}", names),
        )
    )


def _answering(handler: routing.Handler) -> routing.Handler:
    @functools.wraps(handler)
    def answer(request: Request, values: Mapping[str, str]) -> Response:
        try:
            return handler(request, values)
        except errors.ShadowError as error:
            return answers.error(error.code, _NAMES[error.code], str(error))

    return answer


def _size(text: str | None) -> int:
    size = int(text) if text and text.isascii() and text.isdigit() else PAGE
    if (text and str(size) != text) or not 1 <= size <= PAGE:
        raise errors.ShadowError(errors.INVALID, f"cannot use pageSize={text}: give 1 to {PAGE}")
    return size


def _start(token: str | None) -> int:
    try:
        return max(0, int(base64.urlsafe_b64decode(token.encode()))) if token else 0
    except (ValueError, binascii.Error) as error:
        raise errors.ShadowError(
            errors.INVALID, "cannot use nextToken: it was not given by this service"
        ) from error
