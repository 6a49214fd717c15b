"""Objects as the other parts of the local cloud use them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import quote

from verge.cloud import errors, ports
from verge.cloud.objects import keys, signatures, store


class Files:
    """Implements `ports.Objects`."""

    def __init__(
        self,
        *,
        objects: store.Store,
        keys: keys.Keys,
        region: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = objects
        self._keys = keys
        self._region = region
        self._now = now

    def describe(self, bucket: str, key: str) -> ports.StoredObject:
        """Return what is known of an object. Raises NotFoundError."""
        stored = self._find(bucket, key)
        return ports.StoredObject(bucket, key, stored.size, stored.etag)

    def open(self, bucket: str, key: str) -> BinaryIO:
        """Open an object for reading. Raises NotFoundError."""
        found = self._store.read(bucket, key)
        if found is None:
            raise _missing(bucket, key)
        return found[1]

    def sha256(self, bucket: str, key: str) -> bytes:
        """Return the SHA-256 of an object's bytes. Raises NotFoundError."""
        return self._store.digest(self._find(bucket, key))

    def presigned_url(self, bucket: str, key: str, *, host: str, seconds: int) -> str:
        """Return a URL that reads the object for some seconds. Raises NotFoundError.

        It is in path style: `host`, "https://NAME:PORT", needs no name for the bucket.
        """
        self._find(bucket, key)
        return signatures.presign(
            host=host,
            path=f"/{bucket}/{quote(key, safe='/-_.~')}",
            key=self._keys.own(),
            region=self._region,
            seconds=seconds,
            now=self._now(),
        )

    def _find(self, bucket: str, key: str) -> store.Object:
        stored = self._store.find(bucket, key)
        if stored is None:
            raise _missing(bucket, key)
        return stored


def _missing(bucket: str, key: str) -> errors.NotFoundError:
    return errors.NotFoundError(f"cannot find s3://{bucket}/{key}: no such object; upload it")
