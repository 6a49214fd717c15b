"""HTTPS requests from threads, with limits on time and size."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from verge.nucleus.cloud import errors

CONNECT_LIMIT = 10.0
READ_LIMIT = 30.0
"""Seconds without a single byte after which a server counts as gone."""

ANSWER_LIMIT = 60.0
"""Seconds that a whole small answer may take."""

ANSWER_BYTES = 12 * 1024 * 1024
"""Above the largest document that the cloud sends, 10 MB."""

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Request:
    """A request; the URL is complete and encoded."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    body: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON. Raises UnreachableError: something in between answered."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise errors.UnreachableError(f"cannot understand the answer: {error}") from error


@contextlib.contextmanager
def open_answer(
    request: Request,
    context: ssl.SSLContext,
    *,
    connect_limit: float = CONNECT_LIMIT,
    read_limit: float = READ_LIMIT,
) -> Iterator[http.client.HTTPResponse]:
    """Yield an answer whose body is yet to be read. Raises UnreachableError."""
    parts = urllib.parse.urlsplit(request.url)
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    host = parts.hostname or ""
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port, timeout=connect_limit, context=context
        )
    else:
        raise errors.CloudError(
            f"cannot ask {parts.netloc}: {request.url[:80]} is no HTTPS address"
        )
    try:
        try:
            connection.connect()
            connection.sock.settimeout(read_limit)
            connection.request(request.method, target, request.body, dict(request.headers or {}))
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(parts.netloc, error) from error
        with answer:
            yield answer
    finally:
        connection.close()


def fetch(
    request: Request,
    context: ssl.SSLContext,
    *,
    what: str,
    read_limit: float = READ_LIMIT,
    answer_limit: float = ANSWER_LIMIT,
) -> Answer:
    """Return the answer to a request that succeeds. `what` names it in errors.

    Raises UnreachableError where another attempt may help and RefusedError where it does not.
    """
    place = urllib.parse.urlsplit(request.url).netloc
    end = time.monotonic() + answer_limit
    with open_answer(request, context, read_limit=read_limit) as opened:
        body = bytearray()
        try:
            while chunk := opened.read1(65536):
                body += chunk
                if time.monotonic() > end:
                    raise TimeoutError(f"no whole answer within {answer_limit:g} s")
                if len(body) > ANSWER_BYTES:
                    raise errors.CloudError(
                        f"cannot {what}: {place} answers with more than {ANSWER_BYTES} bytes"
                    )
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(place, error) from error
        answer = Answer(
            opened.status, {k.lower(): v for k, v in opened.headers.items()}, bytes(body)
        )
    if answer.status >= 300:
        raise failure(answer.status, answer.body, what, place)
    return answer


def failure(status: int, body: bytes, what: str, place: str) -> errors.CloudError:
    """Return the error that an answer stands for."""
    text = _message(body)
    reason = f"cannot {what}: {place} answers {status}" + (f", {text}" if text else "")
    if status in _TRY_AGAIN:
        return errors.UnreachableError(reason)
    return errors.RefusedError(reason, status, text)


def unreachable(place: str, error: Exception) -> errors.UnreachableError:
    """Return the error for a connection that cannot be made or does not last."""
    reason = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted: {error.verify_message}"
    elif isinstance(error, TimeoutError):
        reason = reason if "within" in reason else "it does not answer in time"
    return errors.UnreachableError(f"cannot reach {place}: {reason}")


def _message(body: bytes) -> str:
    """Return what a JSON or XML error says, or its beginning."""
    text = body[:4096].decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError):
        document = json.loads(body)
        if isinstance(document, dict):
            for key in ("message", "Message", "error"):
                if document.get(key):
                    return str(document[key])[:500]
    code, message = _tag(text, "Code"), _tag(text, "Message")
    if code:
        return f"{code}: {message}"[:500]
    return " ".join(text.split())[:200]


def _tag(text: str, name: str) -> str:
    _, found, rest = text.partition(f"<{name}>")
    return rest.partition(f"</{name}>")[0] if found else ""
