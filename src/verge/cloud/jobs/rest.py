"""What the routes of both job APIs share: errors, bodies, parameters and pages."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from werkzeug.wrappers import Request, Response

from verge.cloud.http import answers, routing
from verge.cloud.jobs import errors

PAGE = 250
_FOREIGN = "cannot use nextToken: it was not given by this service"

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
    start = _start(request)
    end = start + _size(request)
    return _page(name, map(show, items[start:end]), str(end) if end < len(items) else None)


def page_by_key(
    request: Request,
    name: str,
    read: Callable[[str, int], Sequence[_T]],
    key: Callable[[_T], str],
    show: Callable[[_T], Mapping[str, Any]],
) -> Response:
    """Answer the same of a list that is ordered by a key. Raises JobError.

    `read` returns so many of its entries, at most, behind a key.
    """
    size = _size(request)
    found = read(_token(request), size + 1)
    shown = found[:size]
    return _page(name, map(show, shown), key(shown[-1]) if len(found) > size else None)


def _page(name: str, shown: Iterable[Mapping[str, Any]], token: str | None) -> Response:
    answer: dict[str, Any] = {name: list(shown)}
    if token is not None:
        answer["nextToken"] = base64.urlsafe_b64encode(token.encode()).decode()
    return answers.document(answer)


def _size(request: Request) -> int:
    size = number(request, "maxResults")
    if size is not None and not 1 <= size <= PAGE:
        raise errors.refuse(f"cannot use maxResults={size}: give 1 to {PAGE}")
    return size or PAGE


def _start(request: Request) -> int:
    token = _token(request) or "0"
    if not token.isascii() or not token.isdigit():
        raise errors.refuse(_FOREIGN)
    return int(token)


def _token(request: Request) -> str:
    try:
        return base64.urlsafe_b64decode(request.args.get("nextToken", "").encode()).decode()
    except (ValueError, binascii.Error) as error:
        raise errors.refuse(_FOREIGN) from error
