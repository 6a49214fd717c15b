"""The filter between a device and the broker: each packet goes on, comes back or ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from verge.cloud import ports, settings
from verge.cloud.broker import authorization, filters, packets

ALLOWED: ports.Document = {
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": "arn:aws:iot:eu-west-1:123456789012:topic/own/*",
        },
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": "arn:aws:iot:eu-west-1:123456789012:topicfilter/own/*",
        },
    ]
}


LEVELS = pytest.mark.parametrize("level", [packets.V3, packets.V5], ids=["3.1.1", "5"])


def make(level: int, *documents: ports.Document) -> filters.Filter:
    """Return the filter of a device with these policies."""
    permissions = authorization.Permissions(
        settings=settings.Settings(state=Path("unused")),
        device=ports.Device("press-07", "c" * 64),
        client_id="press-07",
        documents=documents,
    )
    return filters.Filter(level, lambda: permissions)


def packet(data: bytes) -> packets.Packet:
    """Return the one packet that the bytes are."""
    (found,) = packets.Splitter(256 * 1024).feed(data)
    return found


def publish(topic: str, level: int, *, qos: int = 1, retain: bool = False) -> packets.Packet:
    """Return a PUBLISH with packet id 7."""
    body = packets.text(topic) + (b"\x00\x07" if qos else b"")
    body += (b"\x00" if level >= packets.V5 else b"") + b"payload"
    return packet(packets.packet(0x30 | qos << 1 | retain, body))


def subscribe(level: int, *names: str) -> packets.Packet:
    """Return a SUBSCRIBE with packet id 9."""
    made = packets.Subscribe(9, b"", tuple((name, 1) for name in names))
    return packet(made.encode(level))


@LEVELS
def test_allowed_message(level: int) -> None:
    """A message to an allowed topic goes on as it came."""
    given = publish("own/a", level)
    assert make(level, ALLOWED).from_device(given) == filters.Verdict(given.raw)


def test_forbidden_message_v3() -> None:
    """MQTT 3.1.1 knows no refusal of a message: the connection ends."""
    verdict = make(packets.V3, ALLOWED).from_device(publish("other/a", packets.V3))
    assert verdict == filters.Verdict(ends=True)


def test_forbidden_message_v5() -> None:
    """MQTT 5 is told by the acknowledgement, and nothing goes on."""
    verdict = make(packets.V5, ALLOWED).from_device(publish("other/a", packets.V5))
    assert verdict == filters.Verdict(back=b"\x40\x03\x00\x07\x87")


def test_forbidden_message_without_acknowledgement() -> None:
    """MQTT 5 is told why the connection ends where no acknowledgement could say so."""
    verdict = make(packets.V5, ALLOWED).from_device(publish("other/a", packets.V5, qos=0))
    assert verdict == filters.Verdict(back=b"\xe0\x02\x87\x00", ends=True)


def test_retained_message() -> None:
    """To leave a message at the broker is an action of its own."""
    given = publish("own/a", packets.V5, retain=True)
    assert make(packets.V5, ALLOWED).from_device(given).onward == b""
    more = {
        "Statement": {"Effect": "Allow", "Action": "iot:RetainPublish", "Resource": "*"},
    }
    assert make(packets.V5, ALLOWED, more).from_device(given).onward == given.raw


@LEVELS
def test_forbidden_subscriptions(level: int) -> None:
    """Filters that are all forbidden are answered without the broker."""
    verdict = make(level, ALLOWED).from_device(subscribe(level, "#", "other/a"))
    code = 0x87 if level >= packets.V5 else 0x80
    assert verdict == filters.Verdict(
        back=packets.Suback(9, b"", bytes([code, code])).encode(level)
    )


@LEVELS
def test_partly_forbidden_subscriptions(level: int) -> None:
    """The broker sees the allowed filters only, the device gets a code for each of its own."""
    rules = make(level, ALLOWED)
    verdict = rules.from_device(subscribe(level, "own/a", "#", "own/b"))
    assert packets.read_subscribe(packet(verdict.onward), level).filters == (
        ("own/a", 1),
        ("own/b", 1),
    )
    answer = rules.from_broker(packet(packets.Suback(9, b"", b"\x01\x00").encode(level)))
    code = 0x87 if level >= packets.V5 else 0x80
    assert packets.read_suback(packet(answer.held), level).codes == bytes([1, code, 0])
    later = packet(packets.Suback(9, b"", b"\x01").encode(level))
    assert rules.from_broker(later).held == later.raw


@LEVELS
def test_suback_that_does_not_fit(level: int) -> None:
    """An answer to other filters than those that were sent ends the connection."""
    rules = make(level, ALLOWED)
    rules.from_device(subscribe(level, "own/a", "#"))
    with pytest.raises(packets.PacketError):
        rules.from_broker(packet(packets.Suback(9, b"", b"\x01\x01").encode(level)))


@LEVELS
def test_forbidden_delivery(level: int) -> None:
    """A message that the device may not receive is taken from the broker and dropped."""
    rules = make(level, ALLOWED)
    assert rules.from_broker(publish("own/a", level)).onward
    assert rules.from_broker(publish("other/a", level)) == filters.Verdict(back=b"\x40\x02\x00\x07")
    assert rules.from_broker(publish("other/a", level, qos=0)) == filters.Verdict()


@pytest.mark.parametrize("first", [0x00, 0x10, 0x20, 0x90, 0xB0, 0xD0], ids=hex)
def test_packets_of_servers(first: int) -> None:
    """A second CONNECT and packets that only servers send end the connection."""
    with pytest.raises(packets.PacketError):
        make(packets.V5, ALLOWED).from_device(packet(packets.packet(first, b"\x00\x00")))


@pytest.mark.parametrize("first", [0x40, 0x50, 0x90, 0xB0], ids=hex)
def test_acknowledgements_wait(first: int) -> None:
    """Acknowledgements of the broker are held until it has saved."""
    given = packet(packets.packet(first, b"\x00\x09\x00\x00"))
    assert make(packets.V5, ALLOWED).from_broker(given) == filters.Verdict(held=given.raw)


def test_the_cloud_itself() -> None:
    """Without permissions to judge by everything passes: the cloud's own connection."""
    rules = filters.Filter(packets.V5, lambda: None)
    for given in (publish("a", packets.V5), subscribe(packets.V5, "#")):
        assert rules.from_device(given).onward == given.raw
    assert rules.from_broker(publish("a", packets.V5)).onward
