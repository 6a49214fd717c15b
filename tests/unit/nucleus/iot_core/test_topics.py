"""Topics of AWS IoT Core."""

from __future__ import annotations

import pytest

from verge.nucleus.iot_core import topics


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "b", False),
        ("#", "a/b", True),
        ("#", "$aws/x", False),
        ("+/x", "$aws/x", False),
        ("$aws/#", "$aws/x", True),
        ("a/+/c/#", "a/b/c", True),
        ("$share/line/a/+", "a/b", True),
        ("$share/line/a/+", "a", False),
        ("$share/line/#", "$aws/x", False),
        ("a/$share/line/b", "a/b", False),
    ],
)
def test_matches(topic_filter: str, topic: str, expected: bool) -> None:
    """Filters match as in MQTT."""
    assert topics.matches(topic_filter, topic) is expected


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "a\0",
        "a\tb",
        "a\x7f",
        "a\uffff",
        "a\U0010fffe",
        "$aws/rules/" + "x" * 129 + "/a/b/c/d/e/f/g",
        "a/+",
        "#",
        "/".join("abcdefghi"),
        "a" * 257,
        "ä" * 129,
        "$aws/rules/x/" + "/".join("abcdefghi"),
    ],
)
def test_refused_topics(topic: str) -> None:
    """Nothing is queued that AWS IoT Core would refuse."""
    with pytest.raises(topics.TopicError):
        topics.check_topic(topic)


@pytest.mark.parametrize(
    "topic", ["a", "/".join("abcdefgh"), "$aws/rules/x/" + "/".join("abcdefgh"), "a" * 256]
)
def test_good_topics(topic: str) -> None:
    """Reserved beginnings do not count."""
    topics.check_topic(topic)
    topics.check_filter(topic)


@pytest.mark.parametrize("topic_filter", ["a/#/b", "a#", "a+/b", "+a", "", "a/\n/#"])
def test_refused_filters(topic_filter: str) -> None:
    """Wildcards fill a level, and # is the last one."""
    with pytest.raises(topics.TopicError):
        topics.check_filter(topic_filter)


@pytest.mark.parametrize("topic_filter", ["#", "+", "a/+/#", "+/+", "$aws/things/+/shadow/#"])
def test_good_filters(topic_filter: str) -> None:
    """Well-placed wildcards are fine."""
    topics.check_filter(topic_filter)
