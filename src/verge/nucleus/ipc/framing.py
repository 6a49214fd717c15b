"""Event-stream messages: the frames of the IPC socket as bytes (Greengrass contract 4.2).

A message is a 12-byte prelude (total length, headers length, CRC-32 of both), headers, a payload
and a CRC-32 of all before it; integers are big-endian. Pure functions and a decoder that is fed
with bytes as they arrive; nothing here knows sockets or what headers mean.
"""

from __future__ import annotations

import enum
import struct
import uuid
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_MESSAGE_BYTES = 24 * 1024 * 1024
"""The longest message that the clients accept (contract 4.2)."""
MAX_HEADERS_BYTES = 128 * 1024
"""The longest headers block that the clients accept."""
PRELUDE_BYTES = 12
OVERHEAD_BYTES = PRELUDE_BYTES + 4
"""Bytes of a message that has neither headers nor a payload."""

_CRC_STEP_BYTES = 64 * 1024  # long frames are summed as they arrive, not all at their end
_PRELUDE = struct.Struct(">III")
_LENGTHS = struct.Struct(">II")
_UINT32 = struct.Struct(">I")
_UINT16 = struct.Struct(">H")

HeaderValue = bool | int | bytes | str | uuid.UUID


class FrameError(ValueError):
    """Bytes that are no event-stream message, or values that do not fit into one."""


class HeaderType(enum.IntEnum):
    """The types of header values (contract 4.2)."""

    TRUE = 0
    FALSE = 1
    INT8 = 2
    INT16 = 3
    INT32 = 4
    INT64 = 5
    BYTES = 6
    STRING = 7
    TIMESTAMP = 8
    """Milliseconds since the epoch."""
    UUID = 9


class Header(NamedTuple):
    """One header; the value is a bool for TRUE and FALSE, an int for numbers and timestamps."""

    name: str
    type: HeaderType
    value: HeaderValue


class Message(NamedTuple):
    """One message with its headers in the order of the wire."""

    headers: tuple[Header, ...]
    payload: bytes

    def get(self, name: str) -> HeaderValue | None:
        """Return the value of the first header of that name, whatever its case, or None."""
        wanted = name.lower()
        return next((h.value for h in self.headers if h.name.lower() == wanted), None)


Payload = bytes | bytearray
"""The payload of a frame; nobody writes to a bytearray that holds one."""


class Frame(NamedTuple):
    """One message whose lengths and sums are right, its headers still bytes."""

    headers: bytes
    payload: Payload


def string(name: str, value: str) -> Header:
    """Return a string header."""
    return Header(name, HeaderType.STRING, value)


def int32(name: str, value: int) -> Header:
    """Return a 32-bit integer header."""
    return Header(name, HeaderType.INT32, value)


_NUMBERS = {
    HeaderType.INT8: struct.Struct(">b"),
    HeaderType.INT16: struct.Struct(">h"),
    HeaderType.INT32: struct.Struct(">i"),
    HeaderType.INT64: struct.Struct(">q"),
    HeaderType.TIMESTAMP: struct.Struct(">q"),
}


def encode(headers: Iterable[Header], payload: bytes = b"") -> bytes:
    """Return the bytes of one message. Raises FrameError if something does not fit."""
    return seal(encode_headers(headers), payload)


def seal(headers: bytes, payload: bytes) -> bytes:
    """Return the bytes of one message whose headers are encoded already."""
    total = OVERHEAD_BYTES + len(headers) + len(payload)
    if len(headers) > MAX_HEADERS_BYTES or total > MAX_MESSAGE_BYTES:
        raise FrameError(f"cannot encode a message of {total} bytes: it is too long")
    lengths = _LENGTHS.pack(total, len(headers))
    head = lengths + _UINT32.pack(crc32(lengths)) + headers
    return head + payload + _UINT32.pack(crc32(payload, crc32(head)))


def encode_headers(headers: Iterable[Header]) -> bytes:
    """Return the headers block. Raises FrameError if a name or a value does not fit."""
    return b"".join(_encode_header(header) for header in headers)


def _encode_header(header: Header) -> bytes:
    name = header.name.encode()
    if not 1 <= len(name) <= 255:
        raise FrameError(f"cannot encode header {header.name!r}: a name has 1 to 255 bytes")
    try:
        value = _encode_value(header.type, header.value)
    except (struct.error, AttributeError, TypeError) as error:
        raise FrameError(
            f"cannot encode header {header.name!r}: {header.value!r} is no {header.type.name}"
        ) from error
    return bytes((len(name),)) + name + bytes((header.type,)) + value


def _encode_value(kind: HeaderType, value: HeaderValue) -> bytes:
    if kind in (HeaderType.TRUE, HeaderType.FALSE):
        return b""
    if kind in _NUMBERS:
        return _NUMBERS[kind].pack(value)
    if kind is HeaderType.UUID:
        return value.bytes  # type: ignore[union-attr]  # another type is refused by the caller
    data = value.encode() if isinstance(value, str) else value
    return _UINT16.pack(len(data)) + data  # type: ignore[arg-type, operator]


def decode(data: bytes) -> Message:
    """Return the one message that the bytes hold. Raises FrameError if they hold anything else."""
    decoder = Decoder()
    decoder.feed(data)
    frame = decoder.next_frame()
    if frame is None or decoder.pending_bytes:
        raise FrameError(f"cannot decode {len(data)} bytes: not exactly one whole message")
    return decode_frame(frame)


def decode_frame(frame: Frame) -> Message:
    """Return the message of a frame. Raises FrameError if a header is malformed."""
    return Message(
        tuple(header for header, _ in decode_headers(frame.headers)),
        bytes(frame.payload),
    )


def decode_headers(block: bytes) -> Iterator[tuple[Header, int]]:
    """Yield each header and the offset of its value in the block. Raises FrameError."""
    at = 0
    try:
        while at < len(block):
            name_end = at + 1 + block[at]
            name = block[at + 1 : name_end].decode()
            kind = HeaderType(block[name_end])
            value, end = _decode_value(kind, block, name_end + 1)
            if end > len(block) or name_end == at + 1:
                break
            yield Header(name, kind, value), name_end + 1
            at = end
    except (IndexError, ValueError, struct.error) as error:
        raise FrameError(f"cannot decode headers at byte {at}: {error}") from error
    if at < len(block):
        raise FrameError(f"cannot decode headers at byte {at}: no name, or past the end")


def _decode_value(kind: HeaderType, block: bytes, at: int) -> tuple[HeaderValue, int]:
    if kind in (HeaderType.TRUE, HeaderType.FALSE):
        return kind is HeaderType.TRUE, at
    if kind in _NUMBERS:
        number = _NUMBERS[kind]
        return number.unpack_from(block, at)[0], at + number.size
    if kind is HeaderType.UUID:
        return uuid.UUID(bytes=block[at : at + 16]), at + 16
    start = at + 2
    end = start + _UINT16.unpack_from(block, at)[0]
    data = block[start:end]
    return (data.decode() if kind is HeaderType.STRING else data), end


class Decoder:
    """Turns bytes, in pieces of any size, into frames.

    `limit` is the longest message accepted, in bytes, and may be changed between frames. After a
    FrameError the decoder is of no more use: the stream has no place to start again.
    """

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self.limit = limit
        self._data = b""  # whole frames and the start of one, from _at on
        self._at = 0
        self._long = bytearray()  # the frame that is longer than what has arrived
        self._long_total = 0
        self._long_crc = 0
        self._long_summed = 0

    @property
    def pending_bytes(self) -> int:
        """Bytes that have arrived and belong to no frame returned yet."""
        return len(self._data) - self._at + len(self._long)

    @property
    def expected_bytes(self) -> int:
        """The length of the frame that is arriving in pieces, 0 if there is none."""
        return self._long_total

    def feed(self, data: bytes) -> None:
        """Take bytes that have arrived."""
        if self._long_total:
            missing = self._long_total - len(self._long)
            self._long += data[:missing]
            data = data[missing:]
            self._sum_long()
        if self._at < len(self._data):
            self._data = self._data[self._at :] + data
        else:
            self._data = data
        self._at = 0

    def next_frame(self) -> Frame | None:
        """Return the next whole frame, or None until more bytes are fed. Raises FrameError."""
        if self._long_total:
            return self._finish_long()
        data, at = self._data, self._at
        available = len(data) - at
        if available < PRELUDE_BYTES:
            return None
        total, headers, sum_of_lengths = _PRELUDE.unpack_from(data, at)
        if crc32(data[at : at + 8]) != sum_of_lengths:
            raise FrameError("cannot decode a message: the sum of its lengths is wrong")
        if total < OVERHEAD_BYTES + headers or headers > MAX_HEADERS_BYTES:
            raise FrameError(f"cannot decode a message of {total} bytes with {headers} of headers")
        if total > self.limit:
            raise FrameError(f"cannot take a message of {total} bytes: at most {self.limit}")
        if available < total:
            self._start_long(total)
            return None
        end = at + total
        body_end = end - 4
        if crc32(data[at:body_end]) != _UINT32.unpack_from(data, body_end)[0]:
            raise FrameError("cannot decode a message: its sum is wrong")
        headers_end = at + PRELUDE_BYTES + headers
        self._at = end
        return Frame(data[at + PRELUDE_BYTES : headers_end], data[headers_end:body_end])

    def _start_long(self, total: int) -> None:
        self._long = bytearray(self._data[self._at :])
        self._long_total = total
        self._long_crc = self._long_summed = 0
        self._data = b""
        self._at = 0

    def _sum_long(self) -> None:
        end = min(len(self._long), self._long_total - 4)
        if end - self._long_summed >= _CRC_STEP_BYTES or len(self._long) == self._long_total:
            with memoryview(self._long) as view, view[self._long_summed : end] as part:
                self._long_crc = crc32(part, self._long_crc)
            self._long_summed = end

    def _finish_long(self) -> Frame | None:
        if len(self._long) < self._long_total:
            return None
        if self._long_crc != _UINT32.unpack_from(self._long, self._long_total - 4)[0]:
            raise FrameError("cannot decode a message: its sum is wrong")
        headers_end = PRELUDE_BYTES + _LENGTHS.unpack_from(self._long)[1]
        # A copy of 24 MiB would hold everybody up; cutting both ends off moves nothing.
        payload, self._long = self._long, bytearray()
        headers = bytes(payload[PRELUDE_BYTES:headers_end])
        del payload[-4:], payload[:headers_end]
        self._long_total = 0
        return Frame(headers, payload)
