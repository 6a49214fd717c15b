"""The headers of messages as a client writes and reads them (Greengrass contract 4.3)."""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, NamedTuple

from edge_ipc import framing

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMESPACE = "aws.greengrass#"

APPLICATION_MESSAGE, CONNECT = 0, 4
FAILURES = frozenset({6, 7})
"""Protocol error and internal error: the connection cannot go on."""

CONNECTION_ACCEPTED, TERMINATE_STREAM = 1, 2
"""Bits of the flags."""

_TYPE, _FLAGS, _MODEL = ":message-type", ":message-flags", "service-model-type"
_STREAM_MARK = b"\x0a:stream-id\x04"
_NUMBER = struct.Struct(">i")


class Envelope(NamedTuple):
    """What the headers of a message say besides the number of its stream."""

    type: int
    flags: int
    model: str | None

    @property
    def ends(self) -> bool:
        """Whether nothing follows on that stream."""
        return bool(self.flags & TERMINATE_STREAM)


class Template:
    """The headers of all messages of one kind, ready but for the number of the stream.

    They stand in the order in which AWS's clients send them.
    """

    def __init__(
        self,
        kind: int,
        flags: int = 0,
        first: Iterable[framing.Header] = (),
        last: Iterable[framing.Header] = (),
    ) -> None:
        reserved = (framing.int32(_TYPE, kind), framing.int32(_FLAGS, flags))
        self._before = framing.encode_headers((*first, *reserved)) + _STREAM_MARK
        self._after = framing.encode_headers(last)

    def message(self, stream: int, payload: bytes = b"") -> bytes:
        """Return the bytes of a whole message. Raises FrameError if it is too long."""
        return framing.seal(self._before + _NUMBER.pack(stream) + self._after, payload)


END = Template(APPLICATION_MESSAGE, TERMINATE_STREAM)
"""Ends a stream from this side."""
GREETING = Template(CONNECT, 0, (framing.string(":version", "0.1.0"),))


@functools.cache
def request(operation: str) -> Template:
    """Return what opens a stream for an operation, such as "PublishToTopic"."""
    name = NAMESPACE + operation
    first = (
        framing.string(":content-type", "application/json"),
        framing.string(_MODEL, f"{name}Request"),
    )
    return Template(APPLICATION_MESSAGE, 0, first, (framing.string("operation", name),))


def read(block: bytes) -> tuple[Envelope, int]:
    """Return what a headers block says, and the number of the stream. Raises FrameError."""
    at = block.find(_STREAM_MARK) + len(_STREAM_MARK)
    if at < len(_STREAM_MARK) or at + _NUMBER.size > len(block):
        raise framing.FrameError("cannot read a message: it has no number of a stream")
    envelope = _read(block[: at - len(_STREAM_MARK)] + block[at + _NUMBER.size :])
    return envelope, _NUMBER.unpack_from(block, at)[0]


@functools.lru_cache(maxsize=64)
def _read(block: bytes) -> Envelope:
    """Understand the other headers, which are the same for every answer to an operation."""
    found = {header.name.lower(): header.value for header, _ in framing.decode_headers(block)}
    kind, flags, model = found.get(_TYPE), found.get(_FLAGS), found.get(_MODEL)
    if not isinstance(kind, int) or not isinstance(flags, int):
        raise framing.FrameError("cannot read a message: it lacks its kind or its flags")
    return Envelope(kind, flags, model if isinstance(model, str) else None)
