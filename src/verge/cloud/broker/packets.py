"""MQTT 3.1.1 and 5 as far as the gate reads it: packets, CONNECT, topics and acknowledgements.

Pure functions over bytes. What the gate passes on unread, such as properties, is kept as the bytes
that came; the broker judges it. Sections of the standards stand behind "MQTT".
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from typing import NamedTuple

V3 = 4
"""The protocol level of MQTT 3.1.1."""
V5 = 5

MAX_LENGTH_BYTES = 4
_UINT16 = struct.Struct(">H")
_PROTOCOL = b"MQTT"


class PacketError(ValueError):
    """Bytes that are no packet, or not one that may come here."""


class UnsupportedVersionError(PacketError):
    """A CONNECT of another protocol version."""


class Kind(enum.IntEnum):
    """Types of packets (MQTT 2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Reason(enum.Enum):
    """Why something is refused: the codes of MQTT 3.1.1's CONNACK and of MQTT 5."""

    VERSION = (1, 0x84)
    CLIENT_ID = (2, 0x85)
    UNAVAILABLE = (3, 0x88)
    NOT_AUTHORIZED = (5, 0x87)

    def code(self, level: int) -> int:
        """Return the code for a protocol level."""
        return self.value[level >= V5]


SUBSCRIPTION_FAILED = 0x80
"""The only failure that a SUBACK of MQTT 3.1.1 knows."""


class Packet(NamedTuple):
    """One whole packet: its first byte, what follows the length, and all of it as it came."""

    first: int
    body: bytes
    raw: bytes

    @property
    def kind(self) -> int:
        """The type, a member of `Kind` or 0."""
        return self.first >> 4


class Splitter:
    """Cuts a stream of bytes into packets."""

    def __init__(self, limit: int) -> None:
        """`limit` is the longest body in bytes."""
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """Take in bytes; return the packets that are complete. Raises PacketError."""
        self._buffer += data
        found = []
        start = 0
        while (packet := self._packet(start)) is not None:
            found.append(packet)
            start += len(packet.raw)
        del self._buffer[:start]
        return found

    def first(self, data: bytes) -> Packet | None:
        """Take in bytes; return one packet if it is complete, and keep what follows it."""
        self._buffer += data
        packet = self._packet(0)
        if packet is not None:
            del self._buffer[: len(packet.raw)]
        return packet

    def _packet(self, start: int) -> Packet | None:
        header = self._header(start)
        if header is None or len(self._buffer) < header[1]:
            return None
        body, end = header
        raw = bytes(self._buffer[start:end])
        return Packet(raw[0], raw[body - start :], raw)

    def _header(self, start: int) -> tuple[int, int] | None:
        """Return where the body of the packet begins and ends; None while that is open."""
        length = 0
        available = len(self._buffer)
        for index in range(MAX_LENGTH_BYTES):
            at = start + 1 + index
            if at >= available:
                return None
            byte = self._buffer[at]
            length |= (byte & 0x7F) << (7 * index)
            if length > self._limit:
                raise PacketError(f"cannot take a packet of {length} bytes: {self._limit} at most")
            if not byte & 0x80:
                return at + 1, at + 1 + length
        raise PacketError("cannot read a packet: its length has more than four bytes")


class Will(NamedTuple):
    """The message that the broker sends when the device is gone."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: bytes = b""


class Connect(NamedTuple):
    """A CONNECT packet (MQTT 3.1); `properties` as they came, without their length."""

    level: int
    clean: bool
    keep_alive: int
    client_id: str
    properties: bytes = b""
    will: Will | None = None
    user_name: str | None = None
    password: bytes | None = None

    def encode(self) -> bytes:
        """Return the packet."""
        flags = 0x02 if self.clean else 0
        rest = text(self.client_id)
        if self.will is not None:
            flags |= 0x04 | self.will.qos << 3 | (0x20 if self.will.retain else 0)
            if self.level >= V5:
                rest += _length(len(self.will.properties)) + self.will.properties
            rest += text(self.will.topic) + binary(self.will.payload)
        if self.user_name is not None:
            flags |= 0x80
            rest += text(self.user_name)
        if self.password is not None:
            flags |= 0x40
            rest += binary(self.password)
        head = binary(_PROTOCOL) + bytes([self.level, flags]) + _UINT16.pack(self.keep_alive)
        if self.level >= V5:
            head += _length(len(self.properties)) + self.properties
        return packet(Kind.CONNECT << 4, head + rest)


def read_connect(given: Packet) -> Connect:
    """Return the contents of the first packet of a connection. Raises PacketError."""
    if given.first != Kind.CONNECT << 4:
        raise PacketError("cannot begin with anything but CONNECT")
    reader = _Reader(given.body)
    if reader.binary() != _PROTOCOL:
        raise UnsupportedVersionError("cannot speak this protocol: MQTT 3.1.1 and 5 are served")
    level, flags = reader.byte(), reader.byte()
    if level not in (V3, V5):
        raise UnsupportedVersionError("cannot speak this version: MQTT 3.1.1 and 5 are served")
    _check_flags(flags, level)
    keep_alive = reader.uint16()
    properties = reader.properties() if level >= V5 else b""
    client_id = reader.text()
    connect = Connect(
        level=level,
        clean=bool(flags & 0x02),
        keep_alive=keep_alive,
        client_id=client_id,
        properties=properties,
        will=_read_will(reader, flags, level) if flags & 0x04 else None,
        user_name=reader.text() if flags & 0x80 else None,
        password=reader.binary() if flags & 0x40 else None,
    )
    reader.end()
    return connect


def _check_flags(flags: int, level: int) -> None:
    will_flags = flags & 0x38
    if flags & 0x01 or flags & 0x18 == 0x18 or (will_flags and not flags & 0x04):
        raise PacketError("cannot read CONNECT: contradictory flags")
    if level < V5 and flags & 0x40 and not flags & 0x80:
        raise PacketError("cannot read CONNECT: a password without a user name")


def _read_will(reader: _Reader, flags: int, level: int) -> Will:
    properties = reader.properties() if level >= V5 else b""
    topic, payload = reader.text(), reader.binary()
    return Will(topic, payload, flags >> 3 & 0x03, bool(flags & 0x20), properties)


class Publish(NamedTuple):
    """The head of a PUBLISH packet; `packet_id` is 0 for QoS 0."""

    topic: str
    qos: int
    retain: bool
    packet_id: int


def read_publish(given: Packet) -> Publish:
    """Return the head of a PUBLISH packet (MQTT 3.3). Raises PacketError."""
    qos = given.first >> 1 & 0x03
    reader = _Reader(given.body)
    topic = reader.text()
    if not topic:
        raise PacketError("cannot take a message without a topic: topic aliases are not served")
    return Publish(topic, qos, bool(given.first & 0x01), reader.uint16() if qos else 0)


class Subscribe(NamedTuple):
    """A SUBSCRIBE packet: filters with their options; `properties` without their length."""

    packet_id: int
    properties: bytes
    filters: tuple[tuple[str, int], ...]

    def encode(self, level: int) -> bytes:
        """Return the packet."""
        body = _UINT16.pack(self.packet_id)
        if level >= V5:
            body += _length(len(self.properties)) + self.properties
        body += b"".join(text(name) + bytes([options]) for name, options in self.filters)
        return packet(Kind.SUBSCRIBE << 4 | 0x02, body)


def read_subscribe(given: Packet, level: int) -> Subscribe:
    """Return the contents of a SUBSCRIBE packet (MQTT 3.8). Raises PacketError."""
    reader = _Reader(given.body)
    packet_id = reader.uint16()
    properties = reader.properties() if level >= V5 else b""
    filters = []
    while not reader.at_end:
        name = reader.text()
        filters.append((name, reader.byte()))
    if given.first & 0x0F != 0x02 or not filters:
        raise PacketError("cannot read SUBSCRIBE: no filters or wrong flags")
    return Subscribe(packet_id, properties, tuple(filters))


class Suback(NamedTuple):
    """A SUBACK packet: one code for each filter."""

    packet_id: int
    properties: bytes
    codes: bytes

    def encode(self, level: int) -> bytes:
        """Return the packet."""
        body = _UINT16.pack(self.packet_id)
        if level >= V5:
            body += _length(len(self.properties)) + self.properties
        return packet(Kind.SUBACK << 4, body + self.codes)


def read_suback(given: Packet, level: int) -> Suback:
    """Return the contents of a SUBACK packet (MQTT 3.9). Raises PacketError."""
    reader = _Reader(given.body)
    packet_id = reader.uint16()
    properties = reader.properties() if level >= V5 else b""
    return Suback(packet_id, properties, reader.rest())


def connack(level: int, reason: Reason) -> bytes:
    """Return a CONNACK that refuses (MQTT 3.2)."""
    body = bytes([0, reason.code(level)])
    return packet(Kind.CONNACK << 4, body + b"\0" if level >= V5 else body)


def puback(packet_id: int, level: int, reason: Reason | None = None) -> bytes:
    """Return a PUBACK; only MQTT 5 can say a reason in it (MQTT 3.4)."""
    body = _UINT16.pack(packet_id)
    if reason is not None and level >= V5:
        body += bytes([reason.code(level)])
    return packet(Kind.PUBACK << 4, body)


def disconnect(reason: Reason) -> bytes:
    """Return the DISCONNECT with which a server of MQTT 5 hangs up (MQTT5 3.14)."""
    return packet(Kind.DISCONNECT << 4, bytes([reason.code(V5), 0]))


def packet(first: int, body: bytes) -> bytes:
    """Return a packet of a first byte and a body."""
    return bytes([first]) + _length(len(body)) + body


def text(value: str) -> bytes:
    """Return a UTF-8 string with its length."""
    return binary(value.encode())


def binary(value: bytes) -> bytes:
    """Return bytes with their length."""
    if len(value) > 0xFFFF:
        raise PacketError("cannot encode more than 65,535 bytes as one field")
    return _UINT16.pack(len(value)) + value


def _length(value: int) -> bytes:
    encoded = bytearray()
    while True:
        value, digit = value >> 7, value & 0x7F
        encoded.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(encoded)


class _Reader:
    """Takes fields off a body, one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._body)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._body):
            raise PacketError("cannot read a packet: it ends within a field")
        taken = self._body[self._at : end]
        self._at = end
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._body) - self._at)

    def byte(self) -> int:
        return self.take(1)[0]

    def uint16(self) -> int:
        return int(_UINT16.unpack(self.take(2))[0])

    def binary(self) -> bytes:
        return self.take(self.uint16())

    def text(self) -> str:
        try:
            value = self.binary().decode()
        except UnicodeDecodeError:
            raise PacketError("cannot read a packet: text that is not UTF-8") from None
        if "\0" in value:
            raise PacketError("cannot read a packet: text with a null character")
        return value

    def properties(self) -> bytes:
        length = 0
        for index in range(MAX_LENGTH_BYTES):
            byte = self.byte()
            length |= (byte & 0x7F) << (7 * index)
            if not byte & 0x80:
                return self.take(length)
        raise PacketError("cannot read a packet: a length of more than four bytes")

    def end(self) -> None:
        if not self.at_end:
            raise PacketError("cannot read a packet: bytes are left over")


def merge_codes(allowed: Sequence[bool], granted: bytes, refused: int) -> bytes:
    """Return the codes for all filters from those that the broker gave to the allowed ones."""
    if len(granted) != sum(allowed):
        raise PacketError("cannot read SUBACK: it does not answer the filters that were sent")
    codes = iter(granted)
    return bytes(next(codes) if each else refused for each in allowed)
