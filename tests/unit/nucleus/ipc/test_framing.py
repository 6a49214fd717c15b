from __future__ import annotations

import struct
import uuid
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verge.nucleus.ipc import framing

H = framing.HeaderType


def _numbers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


VALUES: dict[framing.HeaderType, st.SearchStrategy[framing.HeaderValue]] = {
    H.TRUE: st.just(True),
    H.FALSE: st.just(False),
    H.INT8: _numbers(8),
    H.INT16: _numbers(16),
    H.INT32: _numbers(32),
    H.INT64: _numbers(64),
    H.BYTES: st.binary(max_size=50),
    H.STRING: st.text(max_size=50),
    H.TIMESTAMP: _numbers(64),
    H.UUID: st.uuids(),
}
NAMES = st.text(min_size=1, max_size=60)
HEADERS = st.lists(
    st.one_of(
        *(st.builds(framing.Header, NAMES, st.just(kind), value) for kind, value in VALUES.items())
    ),
    max_size=6,
)
PAYLOADS = st.binary(max_size=300)


@given(HEADERS, PAYLOADS)
def test_round_trip(headers: list[framing.Header], payload: bytes) -> None:
    """What was encoded decodes to the same headers, types and payload."""
    message = framing.decode(framing.encode(headers, payload))
    assert message == (tuple(headers), payload)
    assert [type(h.value) for h in message.headers] == [type(h.value) for h in headers]


@given(st.lists(st.tuples(HEADERS, PAYLOADS), max_size=5), st.data())
def test_pieces_of_any_size(
    messages: list[tuple[list[framing.Header], bytes]], data: st.DataObject
) -> None:
    """A stream cut anywhere gives the same frames, each as soon as it is whole."""
    frames = [framing.encode(headers, payload) for headers, payload in messages]
    stream = b"".join(frames)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    decoder = framing.Decoder()
    found: list[framing.Message] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        decoder.feed(stream[start:end])
        while (frame := decoder.next_frame()) is not None:
            found.append(framing.decode_frame(frame))
        whole = sum(sum(map(len, frames[: n + 1])) <= end for n in range(len(frames)))
        assert len(found) == whole
    assert found == [(tuple(headers), payload) for headers, payload in messages]
    assert decoder.pending_bytes == 0


@given(HEADERS, PAYLOADS)
@settings(max_examples=25)
def test_every_truncation_is_refused(headers: list[framing.Header], payload: bytes) -> None:
    """No part of a message passes for a message, and a decoder waits for the rest."""
    data = framing.encode(headers, payload)
    for length in range(len(data)):
        with pytest.raises(framing.FrameError):
            framing.decode(data[:length])
        decoder = framing.Decoder()
        decoder.feed(data[:length])
        assert decoder.next_frame() is None
        decoder.feed(data[length:])
        assert decoder.next_frame() is not None


@given(HEADERS, PAYLOADS)
@settings(max_examples=25)
def test_every_bit_flip_is_refused(headers: list[framing.Header], payload: bytes) -> None:
    """A message with one wrong bit never passes."""
    data = framing.encode(headers, payload)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(framing.FrameError):
            framing.decode(bytes(flipped))


@given(st.binary(max_size=200))
def test_garbage_never_does_more_than_fail(data: bytes) -> None:
    """Arbitrary bytes give a FrameError and nothing else."""
    with pytest.raises(framing.FrameError):
        framing.decode(data)


@given(st.binary(max_size=60))
def test_garbage_headers(block: bytes) -> None:
    """Headers of arbitrary bytes decode or give a FrameError; what decodes encodes to itself."""
    try:
        headers = [header for header, _ in framing.decode_headers(block)]
    except framing.FrameError:
        return
    assert framing.encode_headers(headers) == block


def test_value_offsets() -> None:
    """Each header comes with the place of its value."""
    block = framing.encode_headers([framing.string("a", "x"), framing.int32("bc", 7)])
    offsets = [at for _, at in framing.decode_headers(block)]
    assert block[offsets[1] : offsets[1] + 4] == struct.pack(">i", 7)
    assert offsets[0] == 3


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"\x00\x00", id="no name"),
        pytest.param(b"\x05ab", id="name past the end"),
        pytest.param(b"\x01a", id="no type"),
        pytest.param(b"\x01a\x0a", id="unknown type"),
        pytest.param(b"\x01a\x04\x00\x00\x00", id="number cut"),
        pytest.param(b"\x01a\x07\x00\x05abcd", id="string past the end"),
        pytest.param(b"\x01a\x06\x00", id="no length"),
        pytest.param(b"\x01a\x09" + bytes(15), id="UUID cut"),
        pytest.param(b"\x01a\x07\x00\x01\xff", id="string is no text"),
        pytest.param(b"\x01\xff\x00", id="name is no text"),
    ],
)
def test_malformed_headers(block: bytes) -> None:
    """Headers that do not fit their block are refused."""
    with pytest.raises(framing.FrameError):
        list(framing.decode_headers(block))
    with pytest.raises(framing.FrameError):
        framing.decode(framing.seal(block, b""))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(framing.string("", "x"), id="no name"),
        pytest.param(framing.string("n" * 256, "x"), id="long name"),
        pytest.param(framing.int32("n", 1 << 31), id="large number"),
        pytest.param(framing.Header("n", H.INT8, 128), id="large byte"),
        pytest.param(framing.Header("n", H.INT32, "1"), id="text for a number"),
        pytest.param(framing.Header("n", H.STRING, 1), id="number for a text"),
        pytest.param(framing.Header("n", H.UUID, b"x"), id="bytes for a UUID"),
        pytest.param(framing.string("n", "x" * 65536), id="long text"),
    ],
)
def test_values_that_do_not_fit(header: framing.Header) -> None:
    """A value that its type cannot hold is refused."""
    with pytest.raises(framing.FrameError, match="cannot encode header"):
        framing.encode([header])


def _prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


@pytest.mark.parametrize(
    ("total", "headers"),
    [(15, 0), (0, 0), (20, 5), (16, 0xFFFFFFFF), (200_000, 131_073), (1001, 0)],
)
def test_impossible_lengths(total: int, headers: int) -> None:
    """Lengths that contradict each other or the limit are refused before more is read."""
    decoder = framing.Decoder(limit=1000)
    decoder.feed(_prelude(total, headers))
    with pytest.raises(framing.FrameError):
        decoder.next_frame()


def test_limit_may_change() -> None:
    """A longer message is taken once the limit is raised."""
    data = framing.encode([], bytes(500))
    decoder = framing.Decoder(limit=len(data) - 1)
    decoder.limit = len(data)
    decoder.feed(data)
    assert decoder.next_frame() == (b"", bytes(500))


def test_long_message_in_pieces() -> None:
    """A message of megabytes arrives in pieces, and its progress can be seen."""
    payload = bytes(range(256)) * 8192
    data = framing.encode([framing.string("a", "b")], payload)
    decoder = framing.Decoder()
    for at in range(0, len(data), 65_521):
        assert decoder.next_frame() is None
        decoder.feed(data[at : at + 65_521])
    assert decoder.expected_bytes == len(data)
    frame = decoder.next_frame()
    assert frame is not None
    assert frame.payload == payload
    assert (decoder.expected_bytes, decoder.pending_bytes) == (0, 0)


def test_long_message_with_a_wrong_sum() -> None:
    """A message of megabytes with one wrong bit is refused, too."""
    data = bytearray(framing.encode([], bytes(1_000_000)))
    data[700_000] ^= 1
    decoder = framing.Decoder()
    for at in range(0, len(data), 65_521):
        assert decoder.next_frame() is None
        decoder.feed(bytes(data[at : at + 65_521]))
    with pytest.raises(framing.FrameError, match="sum"):
        decoder.next_frame()


def test_longest_message() -> None:
    """A message of exactly the limit encodes, one byte more does not."""
    most = framing.MAX_MESSAGE_BYTES - framing.OVERHEAD_BYTES
    assert len(framing.decode(framing.encode([], bytes(most))).payload) == most
    with pytest.raises(framing.FrameError, match="too long"):
        framing.encode([], bytes(most + 1))


def test_get_ignores_case() -> None:
    """A header is found whatever the case of its name; the first of two counts."""
    message = framing.Message(
        (framing.string("Name", "a"), framing.string("name", "b")), uuid.uuid4().bytes
    )
    assert message.get("NAME") == "a"
    assert message.get("other") is None
