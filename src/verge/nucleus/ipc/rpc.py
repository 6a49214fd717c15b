"""What the headers of a message mean: kinds, flags, streams and operations (contract 4.3).

Every request of a client repeats the same headers but for the stream number, and every answer of
an operation too. So headers are understood once and remembered without the number, and headers to
send are encoded once with a gap for it.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple
from zlib import crc32

from verge.nucleus.ipc import framing

MESSAGE_TYPE = ":message-type"
MESSAGE_FLAGS = ":message-flags"
STREAM_ID = ":stream-id"
VERSION = ":version"
CONTENT_TYPE = ":content-type"
OPERATION = "operation"
MODEL = "service-model-type"
RESERVED = frozenset({MESSAGE_TYPE, MESSAGE_FLAGS, STREAM_ID})

PROTOCOL_VERSION = "0.1.0"
JSON = "application/json"
NAMESPACE = "aws.greengrass#"

_INT32 = struct.Struct(">i")
_UINT32 = struct.Struct(">I")
_LENGTHS = struct.Struct(">II")
_STREAM_ID_MARK = b"\x0a:stream-id\x04"
_REMEMBERED_BLOCKS = 64  # a client uses one or two blocks per operation
_REMEMBERED_BYTES = 512  # a longer block is no SDK's


class MessageType(enum.IntEnum):
    """Values of `:message-type`."""

    APPLICATION_MESSAGE = 0
    APPLICATION_ERROR = 1
    PING = 2
    PING_RESPONSE = 3
    CONNECT = 4
    CONNECT_ACK = 5
    PROTOCOL_ERROR = 6
    INTERNAL_ERROR = 7


class Flag(enum.IntFlag):
    """Bits of `:message-flags`; unknown bits are ignored."""

    CONNECTION_ACCEPTED = 1
    TERMINATE_STREAM = 2


class ProtocolError(Exception):
    """A message that the protocol does not allow; the connection cannot go on."""


class Envelope(NamedTuple):
    """The headers of one message, without the stream number."""

    type: int
    flags: int
    operation: str | None
    version: str | None
    model: str | None


class EnvelopeReader:
    """Understands headers blocks and remembers those it has seen."""

    def __init__(self) -> None:
        self._known: dict[bytes, Envelope] = {}

    def read(self, block: bytes) -> tuple[Envelope, int]:
        """Return the envelope and the stream number.

        Raises ProtocolError if a reserved header is missing, framing.FrameError if the block is
        malformed.
        """
        # The first mark in a block stands at the same place in the block without the number, so
        # a block found here has been read with its number at exactly this place.
        at = block.find(_STREAM_ID_MARK) + len(_STREAM_ID_MARK)
        key = block[:at] + block[at + 4 :]
        envelope = self._known.get(key)
        if envelope is not None:
            return envelope, _INT32.unpack_from(block, at)[0]
        envelope, stream, stream_at = read_envelope(block)
        if stream_at == at and len(block) <= _REMEMBERED_BYTES:
            if len(self._known) >= _REMEMBERED_BLOCKS:
                self._known.clear()
            self._known[key] = envelope
        return envelope, stream


def read_envelope(block: bytes) -> tuple[Envelope, int, int]:
    """Return the envelope, the stream number and the offset of that number. Raises as `read`."""
    found: dict[str, framing.HeaderValue] = {}
    stream_at = 0
    for header, at in framing.decode_headers(block):
        name = header.name.lower()
        if name in RESERVED and header.type is not framing.HeaderType.INT32:
            raise ProtocolError(f"header {name} must be a 32-bit integer")
        if found.setdefault(name, header.value) is header.value and name == STREAM_ID:
            stream_at = stream_at or at
    missing = RESERVED - found.keys()
    if missing:
        raise ProtocolError(f"header {min(missing)} is missing")
    envelope = Envelope(
        int(found[MESSAGE_TYPE]),
        int(found[MESSAGE_FLAGS]),
        _text(found.get(OPERATION)),
        _text(found.get(VERSION)),
        _text(found.get(MODEL)),
    )
    return envelope, int(found[STREAM_ID]), stream_at


def _text(value: framing.HeaderValue | None) -> str | None:
    return value if isinstance(value, str) else None


class Template:
    """The headers of all messages of one kind, ready but for the stream number."""

    __slots__ = ("_after", "_before")

    def __init__(self, kind: MessageType, flags: int = 0, model: str | None = None) -> None:
        reserved = (
            framing.int32(MESSAGE_TYPE, kind),
            framing.int32(MESSAGE_FLAGS, flags),
            framing.int32(STREAM_ID, 0),
        )
        self._before = framing.encode_headers(reserved)[:-4]
        self._after = b""
        if model is not None:
            content = (framing.string(CONTENT_TYPE, JSON), framing.string(MODEL, model))
            self._after = framing.encode_headers(content)

    def headers(self, stream: int) -> bytes:
        """Return the headers block for a stream."""
        return self._before + _INT32.pack(stream) + self._after

    def message(self, stream: int, payload: bytes) -> bytes:
        """Return the bytes of a whole message."""
        return seal(self.headers(stream), payload)


def seal(headers: bytes, payload: framing.Payload) -> bytes:
    """Return the bytes of a message that is known to fit; `framing.seal` checks it."""
    lengths = _LENGTHS.pack(framing.OVERHEAD_BYTES + len(headers) + len(payload), len(headers))
    head = lengths + _UINT32.pack(crc32(lengths)) + headers
    # One copy of the payload, where adding would make two.
    return b"".join((head, payload, _UINT32.pack(crc32(payload, crc32(head)))))
