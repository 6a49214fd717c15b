"""Topics of AWS IoT Core: what is allowed and what a filter matches (Greengrass contract 4.8)."""

from __future__ import annotations

import re

MAX_BYTES = 256
MAX_SLASHES = 7

_RESERVED = re.compile(r"\$aws/rules/[^/]{1,128}/|\$share/[^/]{1,128}/")
"""Beginnings whose slashes and length do not count."""

_SHARED = re.compile(r"^\$share/[^/]+/")
"""What makes a subscription one of a group's; topics of messages do not have it."""

_LAST_OF_PLANES = "".join(
    chr(plane | last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)
)
_NO_TEXT = re.compile(f"[\0-\x1f\x7f-\x9f\ufdd0-\ufdef{_LAST_OF_PLANES}]")
"""Control characters and noncharacters: MQTT lets a broker end the connection over them."""


class TopicError(ValueError):
    """A topic or filter that AWS IoT Core would refuse."""


def check_topic(topic: str) -> None:
    """Raise TopicError unless messages may be published there."""
    if "+" in topic or "#" in topic:
        raise TopicError(f"topicName {topic!r} must not contain + or # when publishing")
    _check(topic)


def check_filter(topic_filter: str) -> None:
    """Raise TopicError unless one may subscribe to that."""
    _check(topic_filter)
    levels = topic_filter.split("/")
    for place, level in enumerate(levels, 1):
        if level != "+" and "+" in level:
            raise TopicError(f"topicName {topic_filter!r}: + must fill its level")
        if "#" in level and (level != "#" or place < len(levels)):
            raise TopicError(f"topicName {topic_filter!r}: # must be the last level")


def check_text(name: str, text: str) -> None:
    """Raise TopicError unless the text may stand in a packet of MQTT; `name` says what it is."""
    if _NO_TEXT.search(text):
        raise TopicError(f"{name} must not contain control characters or noncharacters")


def _check(text: str) -> None:
    if not text:
        raise TopicError("topicName must not be empty")
    counted = _RESERVED.sub("", text, count=1) if _RESERVED.match(text) else text
    if len(counted.encode()) > MAX_BYTES:
        raise TopicError(f"topicName has more than {MAX_BYTES} bytes")
    if counted.count("/") > MAX_SLASHES:
        raise TopicError(f"topicName has more than {MAX_SLASHES} slashes")
    check_text("topicName", text)


def matches(topic_filter: str, topic: str) -> bool:
    """Return whether a filter covers a topic, as MQTT has it: `a/#` covers `a`, too."""
    wanted, given = _SHARED.sub("", topic_filter, count=1).split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    if wanted[-1] == "#":
        wanted.pop()
        given = given[: len(wanted)] if len(given) > len(wanted) else given
    return len(wanted) == len(given) and all(
        level in {"+", actual} for level, actual in zip(wanted, given, strict=True)
    )
