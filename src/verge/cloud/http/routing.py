"""Routes: which handler answers which method and path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from werkzeug.wrappers import Request, Response

Handler = Callable[[Request, Mapping[str, str]], Response]
"""Takes a request and the named groups of its path, percent-decoded."""


class Route(NamedTuple):
    """A method and a pattern that the whole raw path must match, before percent-decoding."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler

    @classmethod
    def of(cls, method: str, path: str, handler: Handler) -> Route:
        """Make a route from a path such as `/things/{thing}/jobs/{job}`.

        `{name}` stands for one segment, `{name+}` for one or more with the slashes between them.
        """
        literal = re.compile(r"\{(\w+)(\+?)\}")
        pattern, end = "", 0
        for match in literal.finditer(path):
            pattern += re.escape(path[end : match.start()])
            pattern += f"(?P<{match[1]}>{'.+' if match[2] else '[^/]+'})"
            end = match.end()
        return cls(method, re.compile(pattern + re.escape(path[end:])), handler)


class Table:
    """Finds the route of a request; the first that matches wins."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)

    def find(self, request: Request) -> tuple[Handler, dict[str, str]] | None:
        """Return the handler and the decoded values of the path."""
        path = raw_path(request)
        for route in self._routes:
            if route.method == request.method and (match := route.pattern.fullmatch(path)):
                return route.handler, {k: unquote(v) for k, v in match.groupdict().items()}
        return None


def raw_path(request: Request) -> str:
    """Return the path as it was sent: an encoded slash is not a slash."""
    raw = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI") or request.path
    return str(raw).partition("?")[0]
