"""What passes between a device and the broker: every packet is looked at, few are changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from verge.cloud.broker import authorization, packets

_FROM_DEVICE = frozenset(packets.Kind) - {
    packets.Kind.CONNECT,
    packets.Kind.CONNACK,
    packets.Kind.SUBACK,
    packets.Kind.UNSUBACK,
    packets.Kind.PINGRESP,
}
_ACKNOWLEDGEMENTS = frozenset(
    {packets.Kind.PUBACK, packets.Kind.SUBACK, packets.Kind.UNSUBACK, packets.Kind.PUBREC}
)

Permissions = authorization.Permissions | None
"""None permits everything: the cloud's own connection."""


class Verdict(NamedTuple):
    """What becomes of a packet: bytes to go on, bytes to go back, and whether that was the end.

    `held` go on as well, but only once the broker has saved what they acknowledge. `counted`: the
    cloud itself is to deal with it.
    """

    onward: bytes = b""
    back: bytes = b""
    held: bytes = b""
    ends: bool = False
    counted: bool = False


class Filter:
    """Both directions of one connection. Permissions may be exchanged while it lasts."""

    def __init__(
        self,
        level: int,
        permissions: Callable[[], Permissions],
        passed: Callable[[str, int], bool] | None = None,
    ) -> None:
        """`passed` is told topic and size of each message that goes on, and says if it counts."""
        self._level = level
        self._permissions = permissions
        self._passed = passed
        self._partial: dict[int, list[tuple[bool, ...]]] = {}

    def from_device(self, packet: packets.Packet) -> Verdict:
        """Judge a packet of the device. Raises PacketError."""
        if packet.kind not in _FROM_DEVICE:
            raise packets.PacketError(f"cannot take a packet of type {packet.kind} from a client")
        if packet.kind == packets.Kind.PUBLISH:
            return self._publish(packet)
        if packet.kind == packets.Kind.SUBSCRIBE:
            return self._subscribe(packet)
        return Verdict(packet.raw)

    def from_broker(self, packet: packets.Packet) -> Verdict:
        """Judge a packet of the broker. Raises PacketError."""
        if packet.kind == packets.Kind.PUBLISH:
            return self._deliver(packet)
        if packet.kind == packets.Kind.SUBACK:
            return Verdict(held=self._suback(packet))
        if packet.kind in _ACKNOWLEDGEMENTS:
            return Verdict(held=packet.raw)
        return Verdict(packet.raw)

    def _publish(self, packet: packets.Packet) -> Verdict:
        head = packets.read_publish(packet)
        permissions = self._permissions()
        if permissions is None or permissions.publish(head.topic, retain=head.retain):
            counted = self._passed is not None and self._passed(head.topic, len(packet.body))
            return Verdict(packet.raw, counted=counted)
        reason = packets.Reason.NOT_AUTHORIZED
        if self._level < packets.V5:
            return Verdict(ends=True)  # MQTT 3.1.1 has no other way to refuse a message
        if head.qos == 0:
            return Verdict(back=packets.disconnect(reason), ends=True)
        return Verdict(back=packets.puback(head.packet_id, self._level, reason))

    def _subscribe(self, packet: packets.Packet) -> Verdict:
        permissions = self._permissions()
        if permissions is None:
            return Verdict(packet.raw)
        wanted = packets.read_subscribe(packet, self._level)
        allowed = tuple(permissions.subscribe(name) for name, _ in wanted.filters)
        if all(allowed):
            return Verdict(packet.raw)
        if not any(allowed):
            codes = bytes([self._refused]) * len(allowed)
            return Verdict(back=packets.Suback(wanted.packet_id, b"", codes).encode(self._level))
        self._partial.setdefault(wanted.packet_id, []).append(allowed)
        kept = tuple(f for f, ok in zip(wanted.filters, allowed, strict=True) if ok)
        return Verdict(wanted._replace(filters=kept).encode(self._level))

    def _suback(self, packet: packets.Packet) -> bytes:
        answer = packets.read_suback(packet, self._level)
        waiting = self._partial.get(answer.packet_id)
        if not waiting:
            return packet.raw
        allowed = waiting.pop(0)
        if not waiting:
            del self._partial[answer.packet_id]
        codes = packets.merge_codes(allowed, answer.codes, self._refused)
        return answer._replace(codes=codes).encode(self._level)

    @property
    def _refused(self) -> int:
        if self._level < packets.V5:
            return packets.SUBSCRIPTION_FAILED
        return packets.Reason.NOT_AUTHORIZED.code(self._level)

    def _deliver(self, packet: packets.Packet) -> Verdict:
        permissions = self._permissions()
        head = packets.read_publish(packet)
        if permissions is None or permissions.receive(head.topic):
            return Verdict(packet.raw)
        return Verdict(back=packets.puback(head.packet_id, self._level) if head.qos else b"")
