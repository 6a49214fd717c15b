"""The body of a request as a stream: length or chunks, a limit, and the answer to `Expect`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO

from werkzeug import exceptions

MAX_CHUNK_LINE = 1024  # a chunk's size in hexadecimal digits and its extensions


class Body(io.RawIOBase):
    """Reads one request's body and nothing of the next request.

    The client is told to go on (`100 Continue`) when somebody first reads: a request that is
    refused by its headers alone costs no upload.
    """

    def __init__(
        self,
        source: BinaryIO,
        *,
        length: int | None,
        limit: int | None,
        go_on: Callable[[], None] | None = None,
    ) -> None:
        """`length` None means chunks; `limit` is the most bytes that are read, None for any."""
        super().__init__()
        self.limit = limit
        self._source = source
        self._chunked = length is None
        self._left = length or 0
        self._finished = length == 0
        self._go_on = go_on
        self._read = 0

    @property
    def untouched(self) -> bool:
        """Whether the client still waits to be told to go on."""
        return self._go_on is not None

    @property
    def finished(self) -> bool:
        """Whether the body has been read to its end."""
        return self._finished

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read some bytes; 0 at the end of the body. Raises werkzeug's HTTPExceptions."""
        if self._finished or not len(buffer):
            return 0
        self._check_limit(self._left)
        if self._go_on is not None:
            self._go_on()
            self._go_on = None
        if self._chunked and self._left == 0 and not self._next_chunk():
            return 0
        view = memoryview(buffer)[: self._left]
        count = self._source.readinto(view)  # type: ignore[attr-defined]
        if not count:
            self._finished = True
            raise exceptions.ClientDisconnected
        self._left -= count
        self._read += count
        if self._left == 0:
            if self._chunked:
                self._end_chunk()
            else:
                self._finished = True
        return int(count)

    def _next_chunk(self) -> bool:
        line = self._source.readline(MAX_CHUNK_LINE)
        size = line.partition(b";")[0].strip()
        if not line.endswith(b"\n") or not size or not set(size) <= set(b"0123456789abcdefABCDEF"):
            self._finished = True
            raise exceptions.BadRequest("cannot read the body: malformed chunk size")
        self._left = int(size, 16)
        self._check_limit(self._left)
        if self._left:
            return True
        while (trailer := self._source.readline(MAX_CHUNK_LINE)) not in {b"\r\n", b"\n", b""}:
            if not trailer.endswith(b"\n"):
                break
        self._finished = True
        return False

    def _end_chunk(self) -> None:
        if self._source.readline(3) not in {b"\r\n", b"\n"}:
            self._finished = True
            raise exceptions.BadRequest("cannot read the body: a chunk is longer than it says")

    def _check_limit(self, coming: int) -> None:
        if self.limit is not None and self._read + coming > self.limit:
            raise exceptions.RequestEntityTooLarge(
                f"cannot read the body: it is larger than {self.limit} bytes"
            )

    def drain(self, most: int) -> bool:
        """Read and drop up to so many bytes; return whether that was all of the body."""
        if self.untouched:
            return self._finished
        self.limit = None
        scrap = bytearray(65536)
        try:
            while most > 0 and (count := self.readinto(scrap)):
                most -= count
        except (exceptions.HTTPException, OSError):
            return False
        return self._finished
