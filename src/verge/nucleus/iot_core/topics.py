"""Topics of AWS IoT Core: what is allowed and what a filter matches (Greengrass contract 4.8)."""

from __future__ import annotations

import re

MAX_BYTES = 256
MAX_SLASHES = 7

_RESERVED = re.compile(r"\$aws/rules/[^/]+/|\$share/[^/]+/")
"""Beginnings whose slashes and length do not count."""


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


def _check(text: str) -> None:
    if not text or "\0" in text:
        raise TopicError("topicName must not be empty or contain a NUL")
    counted = _RESERVED.sub("", text, count=1) if _RESERVED.match(text) else text
    if len(counted.encode()) > MAX_BYTES:
        raise TopicError(f"topicName has more than {MAX_BYTES} bytes")
    if counted.count("/") > MAX_SLASHES:
        raise TopicError(f"topicName has more than {MAX_SLASHES} slashes")


def matches(topic_filter: str, topic: str) -> bool:
    """Return whether a filter covers a topic, as MQTT has it: `a/#` covers `a`, too."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    if wanted[-1] == "#":
        wanted.pop()
        given = given[: len(wanted)] if len(given) > len(wanted) else given
    return len(wanted) == len(given) and all(
        level in {"+", actual} for level, actual in zip(wanted, given, strict=True)
    )
