"""Whatever a device sends, it is answered once, and nothing else happens to it."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from tests.unit.cloud.jobs import plant

KNOWN = (
    "clientToken",
    "includeJobDocument",
    "status",
    "statusDetails",
    "expectedVersion",
    "executionNumber",
    "stepTimeoutInMinutes",
)
ANY = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(max_size=5),
    lambda below: (
        strategies.lists(below, max_size=2)
        | strategies.dictionaries(strategies.text(max_size=5), below, max_size=2)
    ),
    max_leaves=5,
)
REQUESTS = strategies.dictionaries(strategies.sampled_from(KNOWN), ANY, max_size=4)
PAYLOADS = strategies.binary(max_size=40) | REQUESTS.map(lambda each: json.dumps(each).encode())


@pytest.mark.parametrize(
    "rest",
    [
        "get",
        "start-next",
        "$next/get",
        "job/get",
        "job/update",
        f"job/namespace-{plant.NAMESPACE}/update",
        f"$next/namespace-{plant.NAMESPACE}/get",
        "//get",
        "job//update",
    ],
)
@hypothesis.given(payload=PAYLOADS)
@hypothesis.example(b'{"clientToken": "\\ud800"}')
@hypothesis.settings(
    max_examples=40,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_every_request_has_one_answer(line: plant.Plant, rest: str, payload: bytes) -> None:
    """Accepted or rejected with a code and a sentence; other things hear nothing."""
    if not line.engine.executions_of_job("job"):
        line.create()
    line.bus.take()
    topic = f"$aws/things/press-1/jobs/{rest}"
    line.bus.receive(topic, payload)
    answers: list[tuple[str, Any]] = [each for each in line.bus.sent if each[0].startswith(topic)]
    ((answered, answer),) = answers
    assert answered.removeprefix(topic) in ("/accepted", "/rejected")
    if answered.endswith("/rejected"):
        assert answer["code"]
        assert answer["message"].startswith("cannot ")
    assert {sent.split("/")[2] for sent, _ in line.bus.sent} == {"press-1"}
