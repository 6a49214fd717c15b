"""Topic filters as patterns."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies
from paho.mqtt import client as paho

from verge.cloud.broker import topics

level = strategies.sampled_from(["a", "b.c", "", "$aws", "é\n"])
topic = strategies.lists(level, min_size=1, max_size=4).map("/".join).filter(bool)


@strategies.composite
def filters(draw: strategies.DrawFn) -> str:
    """Make a valid filter, with wildcards."""
    levels = draw(strategies.lists(level | strategies.just("+"), max_size=4))
    ends = draw(strategies.booleans())
    return "/".join([*levels, "#"] if ends or not any(levels) else levels)


@hypothesis.given(filters(), topic)
def test_a_pattern_matches_what_the_client_library_matches(wanted: str, given: str) -> None:
    """A pattern and the library that makes subscriptions agree on every topic."""
    matches = topics.pattern(wanted).fullmatch(given) is not None
    assert matches == paho.topic_matches_sub(wanted, given)
