"""MQTT packets: what is written is read again, and nothing else is taken for a packet."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from verge.cloud.broker import packets

LIMIT = 256 * 1024

patient = settings(suppress_health_check=[HealthCheck.too_slow])

_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
_bytes = st.binary(max_size=200)


@st.composite
def connects(draw: st.DrawFn) -> packets.Connect:
    """Return any CONNECT that the standards allow."""
    level = draw(st.sampled_from([packets.V3, packets.V5]))
    v5 = level == packets.V5
    will = st.builds(
        packets.Will,
        topic=_text,
        payload=_bytes,
        qos=st.integers(0, 2),
        retain=st.booleans(),
        properties=_bytes if v5 else st.just(b""),
    )
    user = draw(st.none() | _text)
    return packets.Connect(
        level=level,
        clean=draw(st.booleans()),
        keep_alive=draw(st.integers(0, 0xFFFF)),
        client_id=draw(_text),
        properties=draw(_bytes) if v5 else b"",
        will=draw(st.none() | will),
        user_name=user,
        password=draw(st.none() | _bytes) if v5 or user is not None else None,
    )


def split(data: bytes) -> list[packets.Packet]:
    """Cut bytes into packets."""
    return packets.Splitter(LIMIT).feed(data)


@patient
@given(connects())
def test_connect_round_trip(connect: packets.Connect) -> None:
    """A CONNECT that was written is read as it was."""
    (packet,) = split(connect.encode())
    assert packets.read_connect(packet) == connect


@patient
@given(connects(), st.data())
def test_truncated_connect(connect: packets.Connect, data: st.DataObject) -> None:
    """A CONNECT whose end is missing is refused, whatever its length says."""
    (whole,) = split(connect.encode())
    body = whole.body[: data.draw(st.integers(0, len(whole.body) - 1))]
    (packet,) = split(packets.packet(whole.first, body))
    with pytest.raises(packets.PacketError):
        packets.read_connect(packet)


@patient
@given(connects(), st.binary(min_size=1, max_size=20))
def test_connect_with_more(connect: packets.Connect, more: bytes) -> None:
    """A CONNECT with bytes left over is refused."""
    (whole,) = split(connect.encode())
    (packet,) = split(packets.packet(whole.first, whole.body + more))
    with pytest.raises(packets.PacketError):
        packets.read_connect(packet)


@patient
@given(connects(), st.data())
def test_flipped_bits(connect: packets.Connect, data: st.DataObject) -> None:
    """A CONNECT with a flipped bit is refused, or what goes on to the broker is what was judged."""
    raw = bytearray(connect.encode())
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    try:
        found = split(bytes(raw))
        if not found:
            return
        read = packets.read_connect(found[0])
    except packets.PacketError:
        return
    (again,) = split(read.encode())
    assert packets.read_connect(again) == read


@patient
@given(st.binary(max_size=300), st.integers(1, 50))
def test_garbage(data: bytes, step: int) -> None:
    """Any bytes are packets, the beginning of one, or refused, however they are cut."""

    def fed(size: int) -> list[packets.Packet] | None:
        splitter = packets.Splitter(200)
        found: list[packets.Packet] = []
        try:
            for at in range(0, len(data), size):
                found += splitter.feed(data[at : at + size])
        except packets.PacketError:
            return None
        return found

    assert fed(step) == fed(len(data) or 1)


@patient
@given(
    st.integers(0, 0xFFFF),
    st.binary(max_size=20),
    st.lists(st.tuples(_text, st.integers(0, 255)), min_size=1, max_size=5),
)
def test_subscribe_round_trip(
    number: int, properties: bytes, filters: list[tuple[str, int]]
) -> None:
    """A SUBSCRIBE of MQTT 5 that was written is read as it was."""
    made = packets.Subscribe(number, properties, tuple(filters))
    (packet,) = split(made.encode(packets.V5))
    assert packets.read_subscribe(packet, packets.V5) == made


def test_follows_connect() -> None:
    """What a client sends right after its CONNECT is kept for later."""
    first = packets.Connect(packets.V3, True, 30, "press-07").encode()
    splitter = packets.Splitter(LIMIT)
    assert splitter.first(first[:5]) is None
    packet = splitter.first(first[5:] + b"\xc0\x00\xc0")
    assert packet is not None
    assert packet.raw == first
    assert [each.kind for each in splitter.feed(b"\x00")] == [12, 12]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"\x30\xff\xff\xff\x7f", "at most", id="longer than the limit"),
        pytest.param(b"\x30\x80\x80\x80\x80\x01", "four bytes", id="endless length"),
    ],
)
def test_refused_lengths(data: bytes, reason: str) -> None:
    """A length that is too long is refused before its bytes are waited for."""
    with pytest.raises(packets.PacketError, match=reason):
        split(data)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x00\x06MQIsdp\x03\x02\x00\x1e\x00\x01a", id="MQTT 3.1"),
        pytest.param(b"\x00\x04MQTT\x06\x02\x00\x1e\x00\x00\x01a", id="a later version"),
        pytest.param(b"\x00\x04HTTP\x04\x02\x00\x1e\x00\x01a", id="another protocol"),
    ],
)
def test_unsupported_versions(body: bytes) -> None:
    """Other versions are told apart from broken packets."""
    (packet,) = split(packets.packet(0x10, body))
    with pytest.raises(packets.UnsupportedVersionError):
        packets.read_connect(packet)


@pytest.mark.parametrize(
    ("first", "flags"),
    [
        pytest.param(0x10, 0x03, id="reserved flag"),
        pytest.param(0x10, 0x1E, id="will of QoS 3"),
        pytest.param(0x10, 0x22, id="retained will without a will"),
        pytest.param(0x10, 0x42, id="password without a user name"),
        pytest.param(0x11, 0x02, id="flags of the packet"),
        pytest.param(0x20, 0x02, id="another packet"),
    ],
)
def test_contradictory_flags(first: int, flags: int) -> None:
    """Flags that contradict each other are refused."""
    rest = b"\x00\x01a" + b"\x00\x01b" * 3
    (packet,) = split(packets.packet(first, b"\x00\x04MQTT\x04" + bytes([flags, 0, 30]) + rest))
    with pytest.raises(packets.PacketError):
        packets.read_connect(packet)


@pytest.mark.parametrize(
    "client_id", [b"a\x00b", b"\xff\xfe", b"\xed\xa0\x80"], ids=["null", "no UTF-8", "surrogate"]
)
def test_unusable_text(client_id: bytes) -> None:
    """Text that MQTT forbids is refused."""
    body = b"\x00\x04MQTT\x04\x02\x00\x1e" + packets.binary(client_id)
    (packet,) = split(packets.packet(0x10, body))
    with pytest.raises(packets.PacketError):
        packets.read_connect(packet)


def test_publish() -> None:
    """The head of a message says topic, QoS, retain and packet id."""
    (packet,) = split(packets.packet(0x33, packets.text("a/b") + b"\x00\x07" + b"payload"))
    assert packets.read_publish(packet) == packets.Publish("a/b", 1, True, 7)


def test_topic_alias() -> None:
    """A message that names its topic by an alias is refused: nobody could judge it."""
    (packet,) = split(packets.packet(0x30, b"\x00\x00\x03\x23\x00\x01payload"))
    with pytest.raises(packets.PacketError, match="alias"):
        packets.read_publish(packet)
