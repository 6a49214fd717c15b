"""What the routes of both job APIs share: errors, bodies, parameters and pages."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from werkzeug.wrappers import Request, Response

from verge.cloud.http import answers, routing
from verge.cloud.jobs import errors

PAGE = 250

_T = TypeVar("_T")
_ERRORS = {
    errors.INVALID_JSON: (400, "InvalidRequestException"),
    errors.INVALID_REQUEST: (400, "InvalidRequestException"),
    errors.NOT_FOUND: (404, "ResourceNotFoundException"),
    errors.VERSION_MISMATCH: (409, "VersionConflictException"),
    errors.INVALID_TRANSITION: (409, "InvalidStateTransitionException"),
    errors.TERMINAL_STATE: (410, "TerminalStateException"),
    errors.EXISTS: (409, "ResourceAlreadyExistsException"),
}


def answering(handler: routing.Handler) -> routing.Handler:
    """Turn what a handler refuses into the answer that AWS clients expect."""

    @functools.wraps(handler)
    def answer(request: Request, values: Mapping[str, str]) -> Response:
        try:
            return handler(request, values)
        except errors.JobError as error:
            status, name = _ERRORS[error.code]
            return answers.error(status, name, str(error))

    return answer


def body(request: Request, kind: type[_T]) -> _T:
    """Read the JSON of a request. Raises JobError."""
    try:
        return msgspec.json.decode(request.get_data() or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.refuse(f"cannot use the request: {error}") from error


def flag(request: Request, name: str) -> bool:
    """Return a query parameter that is true or false."""
    return request.args.get(name, "false").lower() == "true"


def number(request: Request, name: str) -> int | None:
    """Return a query parameter that is a number. Raises JobError."""
    text = request.args.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise errors.refuse(f"cannot use {name}={text}: give a whole number")
    return int(text)


def page(
    request: Request, name: str, items: Sequence[_T], show: Callable[[_T], Mapping[str, Any]]
) -> Response:
    """Answer the part of a list that `nextToken` and `maxResults` ask for. Raises JobError."""
    size = number(request, "maxResults")
    if size is not None and not 1 <= size <= PAGE:
        raise errors.refuse(f"cannot use maxResults={size}: give 1 to {PAGE}")
    start = _start(request.args.get("nextToken"))
    end = start + (size or PAGE)
    answer: dict[str, Any] = {name: [show(each) for each in items[start:end]]}
    if end < len(items):
        answer["nextToken"] = base64.urlsafe_b64encode(str(end).encode()).decode()
    return answers.document(answer)


def _start(token: str | None) -> int:
    if not token:
        return 0
    try:
        start = int(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error) as error:
        raise errors.refuse("cannot use nextToken: it was not given by this service") from error
    return max(0, start)
