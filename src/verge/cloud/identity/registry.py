"""What identity asks of the IoT registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from werkzeug.wrappers import Request, Response


class Registry(Protocol):
    """The IoT registry, asked by requests of its own API."""

    def call(
        self, method: str, path: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Response:
        """Carry out one request for good and return the answer."""

    def handle(self, request: Request) -> Response:
        """Answer a request as it came."""
