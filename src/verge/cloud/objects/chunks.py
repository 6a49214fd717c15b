"""Bodies in `aws-chunked` encoding: chunks with their own signatures and trailing checksums."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

from verge.cloud.objects import faults

_MAX_LINE = 4096

Sign = Callable[[str], str]
"""Returns the signature of a chunk whose bytes have this SHA-256 (hexadecimal)."""


class Chunked(io.RawIOBase):
    """Decodes a body; `trailers` has the headers that came after it, once it has been read."""

    def __init__(self, source: io.BufferedReader, *, sign: Sign | None = None) -> None:
        """With `sign` every chunk's signature is checked."""
        super().__init__()
        self.trailers: dict[str, str] = {}
        self._source = source
        self._sign = sign
        self._left = 0
        self._digest = hashlib.sha256()
        self._signature = ""
        self._finished = False

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read decoded bytes; 0 at the end. Raises FaultError."""
        if self._finished:
            return 0
        if self._left == 0 and not self._begin_chunk():
            return 0
        view = memoryview(buffer)[: self._left]
        count = self._source.readinto(view)
        if not count:
            raise _incomplete()
        if self._sign is not None:
            self._digest.update(view[:count])
        self._left -= count
        if self._left == 0:
            self._end_chunk()
        return count

    def _begin_chunk(self) -> bool:
        size, _, extension = self._line().partition(b";")
        try:
            self._left = int(size, 16)
        except ValueError:
            raise _incomplete() from None
        if self._left < 0:
            raise _incomplete()
        self._signature = extension.decode("latin-1").partition("chunk-signature=")[2]
        self._digest = hashlib.sha256()
        if self._left:
            return True
        self._check_signature()
        self._read_trailers()
        self._finished = True
        return False

    def _end_chunk(self) -> None:
        if self._source.read(2) != b"\r\n":
            raise _incomplete()
        self._check_signature()

    def _check_signature(self) -> None:
        if self._sign is not None and self._sign(self._digest.hexdigest()) != self._signature:
            raise faults.FaultError(
                "SignatureDoesNotMatch", "The signature of a chunk of the body does not match."
            )

    def _read_trailers(self) -> None:
        while line := self._line(last=True):
            name, _, value = line.decode("latin-1").partition(":")
            self.trailers[name.strip().lower()] = value.strip()

    def _line(self, *, last: bool = False) -> bytes:
        line = self._source.readline(_MAX_LINE)
        if not line.endswith(b"\n") and not (last and not line):
            raise _incomplete()
        return line.rstrip(b"\r\n")


def _incomplete() -> faults.FaultError:
    return faults.FaultError(
        "IncompleteBody", "The body ends early or is not in the encoding that its headers name."
    )
