from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verge.nucleus.ipc import framing, rpc

STREAMS = st.integers(-(1 << 31), (1 << 31) - 1)
MARK = "\x0a:stream-id\x04"


def _block(stream: int, *extra: framing.Header, first: bool = False) -> bytes:
    reserved = (
        framing.int32(":message-type", 0),
        framing.int32(":message-flags", 2),
        framing.int32(":stream-id", stream),
    )
    return framing.encode_headers((*extra, *reserved) if first else (*reserved, *extra))


@given(st.lists(st.tuples(STREAMS, st.text(max_size=20), st.booleans()), max_size=20))
def test_remembered_blocks_read_as_new_ones(blocks: list[tuple[int, str, bool]]) -> None:
    """A reader that remembers says the same as one that does not, whatever it saw before."""
    reader = rpc.EnvelopeReader()
    for stream, text, first in blocks:
        # A value that looks like the header of the stream number must not confuse the reader.
        extra = framing.string("operation", MARK + text)
        block = _block(stream, extra, first=first)
        envelope, number, _ = rpc.read_envelope(block)
        assert reader.read(block) == (envelope, number)
        assert number == stream
        assert envelope.operation == MARK + text


def test_many_blocks() -> None:
    """More different blocks than are remembered all read right."""
    reader = rpc.EnvelopeReader()
    for number in range(500):
        block = _block(number, framing.string("operation", f"op{number}"))
        assert reader.read(block) == (rpc.Envelope(0, 2, f"op{number}", None, None), number)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param([framing.int32(":message-type", 0)], "missing", id="missing"),
        pytest.param([framing.string(":stream-id", "1")], "32-bit", id="wrong type"),
        pytest.param(
            [framing.Header(":message-flags", framing.HeaderType.INT64, 0)], "32-bit", id="64 bits"
        ),
    ],
)
def test_reserved_headers(headers: list[framing.Header], reason: str) -> None:
    """All three reserved headers must be there, as 32-bit integers."""
    with pytest.raises(rpc.ProtocolError, match=reason):
        rpc.EnvelopeReader().read(framing.encode_headers(headers))


@given(STREAMS, st.binary(max_size=100))
def test_template(stream: int, payload: bytes) -> None:
    """A template gives the same bytes as the codec."""
    template = rpc.Template(rpc.MessageType.APPLICATION_ERROR, 2, "aws.greengrass#ServiceError")
    expected = framing.encode(
        [
            framing.int32(":message-type", 1),
            framing.int32(":message-flags", 2),
            framing.int32(":stream-id", stream),
            framing.string(":content-type", "application/json"),
            framing.string("service-model-type", "aws.greengrass#ServiceError"),
        ],
        payload,
    )
    assert template.message(stream, payload) == expected
