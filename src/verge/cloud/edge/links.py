"""URLs that may be read for a while by whoever has them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from urllib.parse import quote

from werkzeug.wrappers import Request

from verge.cloud.http import routing


class Links:
    """Signs paths of this server. A new process signs anew: devices ask again for the URL."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._key = secrets.token_bytes(32)
        self._now = now

    def sign(self, host: str, path: str, seconds: int) -> str:
        """Return a URL of a path for some seconds; `host` is "https://NAME:PORT"."""
        raw, ends = quote(path), int(self._now()) + seconds
        return f"{host}{raw}?expires={ends}&signature={self._signature(raw, str(ends))}"

    def valid(self, request: Request) -> bool:
        """Whether the request is for a URL of ours that has not ended."""
        ends, given = request.args.get("expires", ""), request.args.get("signature", "")
        wanted = self._signature(routing.raw_path(request), ends)
        # Compared as bytes: a signature with other characters is wrong, not an error.
        return hmac.compare_digest(given.encode(), wanted.encode()) and self._now() < int(ends)

    def _signature(self, raw: str, ends: str) -> str:
        return hmac.new(self._key, f"{raw}\n{ends}".encode(), hashlib.sha256).hexdigest()
