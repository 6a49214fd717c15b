"""The checksums that S3 knows, computed while bytes pass by."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable
from typing import Protocol

from awscrt import checksums as crt

from verge.cloud.objects import faults


class Sum(Protocol):
    """What `hashlib` offers, for all algorithms."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Add bytes."""

    def digest(self) -> bytes:
        """Return the sum of all bytes so far, big-endian."""


class _Crc:
    def __init__(self, name: str) -> None:
        self._name = name
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        match self._name:
            case "CRC32":
                self._value = zlib.crc32(data, self._value)
            case "CRC32C":
                self._value = crt.crc32c(bytes(data), self._value)
            case _:
                self._value = crt.crc64nvme(bytes(data), self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(8 if self._name == "CRC64NVME" else 4, "big")


ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
PREFIX = "x-amz-checksum-"


def new(algorithm: str) -> Sum:
    """Begin a sum. Raises FaultError for an algorithm that S3 does not know."""
    match algorithm:
        case "SHA1":
            return hashlib.sha1(usedforsecurity=False)
        case "SHA256":
            return hashlib.sha256()
        case "CRC32" | "CRC32C" | "CRC64NVME":
            return _Crc(algorithm)
    raise faults.FaultError(
        "InvalidRequest", f"cannot use checksum algorithm {algorithm}: use one of {ALGORITHMS}"
    )


def text(digest: bytes) -> str:
    """Return a digest as headers and documents carry it."""
    return base64.b64encode(digest).decode()


def composite(algorithm: str, parts: Iterable[str]) -> str:
    """Return the checksum of the parts' checksums, as multipart objects have it."""
    total, count = new(algorithm), 0
    for part in parts:
        total.update(base64.b64decode(part))
        count += 1
    return f"{text(total.digest())}-{count}"


class Digests:
    """MD5, SHA-256 and one more sum of a stream of bytes."""

    def __init__(self, algorithm: str | None = None) -> None:
        self.algorithm = algorithm
        self.size = 0
        self.md5: Sum = hashlib.md5(usedforsecurity=False)
        self.sha256: Sum = hashlib.sha256()
        self._chosen = None if algorithm in {None, "SHA256"} else new(str(algorithm))

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes."""
        self.size += len(data)
        self.md5.update(data)
        self.sha256.update(data)
        if self._chosen is not None:
            self._chosen.update(data)

    @property
    def checksum(self) -> str | None:
        """The sum of the chosen algorithm, as text."""
        if self.algorithm is None:
            return None
        return text((self._chosen or self.sha256).digest())
