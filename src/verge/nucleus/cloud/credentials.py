"""Temporary AWS credentials by role alias, cached (Greengrass contract 2.9 and observed Lite)."""

from __future__ import annotations

import datetime as dt
import threading
import urllib.parse
from collections.abc import Callable

from verge.nucleus import settings
from verge.nucleus.cloud import errors, http, sigv4, tls

MARGIN = 300.0
"""Seconds before their end at which credentials are replaced."""

_REFUSED_FOR = 120.0
_FAILED_FOR = 60.0
"""Seconds for which an error is remembered, so that components in a loop do not add to it."""


class Credentials:
    """The device's credentials. All methods may block, and may be called from any thread."""

    def __init__(self, configured: settings.Settings, clock: Callable[[], float]) -> None:
        self._settings = configured
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: sigv4.Keys | None = None
        self._error: errors.CloudError | None = None
        self._error_at = self._error_until = 0.0

    def present(self) -> sigv4.Keys | None:
        """Return the keys at hand if they are still valid; never blocks."""
        keys = self._keys
        return keys if keys and keys.expires > self._clock() else None

    def keys(self) -> sigv4.Keys:
        """Return keys for now. Raises CloudError.

        If no new ones can be had, the old ones serve to their end.
        """
        with self._lock:
            now = self._clock()
            if self._keys and self._keys.expires - MARGIN > now:
                return self._keys
            # A clock that was set back would make the error last as long as it was ahead.
            if self._error is None or not self._error_at <= now < self._error_until:
                self._ask(now)
            keys = self.present()
            if keys:
                return keys
            raise self._error or errors.CloudError("cannot get credentials: they have expired")

    def forget(self, keys: sigv4.Keys | None = None) -> None:
        """Ask again the next time: an error may be over, or the keys were refused."""
        with self._lock:
            self._error = None
            if keys is not None and keys is self._keys:
                self._keys = None

    def _ask(self, now: float) -> None:
        try:
            self._keys, self._error = self._fetch(), None
        except errors.CloudError as error:
            refused = isinstance(error, errors.RefusedError)
            self._error, self._error_at = error, now
            self._error_until = now + (_REFUSED_FOR if refused else _FAILED_FOR)

    def _fetch(self) -> sigv4.Keys:
        cloud = self._settings.cloud
        if not cloud.credentials_endpoint or not cloud.role_alias:
            raise errors.RefusedError(
                "cannot get credentials: iotCredEndpoint and iotRoleAlias are not both set", 404
            )
        alias = urllib.parse.quote(cloud.role_alias, safe="")
        request = http.Request(
            f"https://{cloud.credentials_endpoint}/role-aliases/{alias}/credentials",
            headers={"x-amzn-iot-thingname": self._settings.thing_name},
        )
        what = f"get credentials by the role alias {cloud.role_alias}"
        answer = http.fetch(request, tls.device_context(self._settings), what=what).json()
        try:
            given = answer["credentials"]
            ends = dt.datetime.fromisoformat(given["expiration"])
            return sigv4.Keys(
                given["accessKeyId"],
                given["secretAccessKey"],
                given["sessionToken"],
                ends.timestamp(),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise errors.UnreachableError(f"cannot {what}: the answer holds none") from error
