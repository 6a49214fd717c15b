"""IoT policies: denied unless allowed, and never allowed by accident."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from verge.cloud import ports
from verge.cloud.identity import policies

DEVICE = ports.Device("press-07", "c" * 64)
TOPIC = "arn:aws:iot:eu-west-1:123456789012:topic/"
FILTER = "arn:aws:iot:eu-west-1:123456789012:topicfilter/"
OWN = "${iot:Connection.Thing.ThingName}"


def rules(*statements: dict[str, Any], client_id: str | None = "press-07") -> policies.Rules:
    """Return the rules of one document with these statements."""
    document: ports.Document = {"Version": "2012-10-17", "Statement": list(statements)}
    return policies.Rules([document], policies.variables(DEVICE, client_id))


def allow(resource: Any, action: Any = "iot:Publish", **more: Any) -> dict[str, Any]:
    """Return a statement that allows."""
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("pattern", "asked", "allowed"),
    [
        pytest.param(f"{TOPIC}a/b", f"{TOPIC}a/b", True, id="equal"),
        pytest.param(f"{TOPIC}a", f"{TOPIC}a/b", False, id="prefix"),
        pytest.param(f"{TOPIC}a/*", f"{TOPIC}a/b/c", True, id="star spans levels"),
        pytest.param(f"{TOPIC}a/?", f"{TOPIC}a/b", True, id="question mark"),
        pytest.param(f"{TOPIC}a/?", f"{TOPIC}a/bb", False, id="question mark is one"),
        pytest.param("*", f"{TOPIC}a\nb", True, id="star matches everything"),
        pytest.param(f"{TOPIC}a.b", f"{TOPIC}axb", False, id="a dot is a dot"),
        pytest.param(f"{TOPIC}{OWN}/x", f"{TOPIC}press-07/x", True, id="own name"),
        pytest.param(f"{TOPIC}{OWN}/x", f"{TOPIC}press-08/x", False, id="other name"),
        pytest.param(f"{TOPIC}${{iot:ClientId}}", f"{TOPIC}press-07", True, id="client id"),
        pytest.param(f"{TOPIC}${{aws:userid}}", f"{TOPIC}x", False, id="unknown variable"),
        pytest.param(f"{TOPIC}${{*}}", f"{TOPIC}*", True, id="star itself"),
        pytest.param(f"{TOPIC}${{*}}", f"{TOPIC}a", False, id="star itself only"),
        pytest.param(f"{FILTER}a/+", f"{FILTER}a/+", True, id="plus is a character"),
        pytest.param(f"{FILTER}a/+", f"{FILTER}a/b", False, id="plus is no wildcard"),
        pytest.param(f"{FILTER}a/#", f"{FILTER}a/b", False, id="hash is no wildcard"),
        pytest.param([f"{TOPIC}a", f"{TOPIC}b"], f"{TOPIC}b", True, id="list"),
    ],
)
def test_resources(pattern: Any, asked: str, allowed: bool) -> None:
    """A resource matches by IoT's wildcards and variables."""
    assert rules(allow(pattern)).allow("iot:Publish", asked) is allowed


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        ("iot:Publish", True),
        ("IOT:publish", True),
        ("iot:*", True),
        ("*", True),
        ("iot:Subscribe", False),
        ("iot:PublishX", False),
        (["iot:Connect", "iot:Publish"], True),
    ],
)
def test_actions(action: Any, allowed: bool) -> None:
    """An action matches whatever its case."""
    assert rules(allow("*", action)).allow("iot:Publish", f"{TOPIC}a") is allowed


def test_nothing_attached() -> None:
    """Without policies nothing is allowed."""
    assert not policies.Rules([], policies.variables(DEVICE)).allow("iot:Publish", f"{TOPIC}a")


def test_deny_wins() -> None:
    """A Deny wins over every Allow, wherever it stands."""
    denied = {"Effect": "Deny", "Action": "iot:*", "Resource": f"{TOPIC}secret/*"}
    for statements in ([allow("*"), denied], [denied, allow("*")]):
        judged = rules(*statements)
        assert judged.allow("iot:Publish", f"{TOPIC}a")
        assert not judged.allow("iot:Publish", f"{TOPIC}secret/a")


def test_negated() -> None:
    """NotAction and NotResource match all but what they name."""
    judged = rules({"Effect": "Allow", "NotAction": "iot:Connect", "NotResource": f"{TOPIC}x"})
    assert judged.allow("iot:Publish", f"{TOPIC}a")
    assert not judged.allow("iot:Connect", f"{TOPIC}a")
    assert not judged.allow("iot:Publish", f"{TOPIC}x")


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": True}}, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": "false"}}, False),
        ({"StringEquals": {"iot:ClientId": "press-07"}}, True),
        ({"StringEquals": {"iot:ClientId": "PRESS-07"}}, False),
        ({"StringEqualsIgnoreCase": {"iot:ClientId": "PRESS-07"}}, True),
        ({"StringNotEquals": {"iot:ClientId": "press-07"}}, False),
        ({"StringLike": {"iot:Connection.Thing.ThingName": "press-*"}}, True),
        ({"StringNotLike": {"iot:Connection.Thing.ThingName": "press-*"}}, False),
        ({}, True),
    ],
)
def test_conditions(condition: dict[str, Any], holds: bool) -> None:
    """Conditions on what is known of the connection are evaluated."""
    judged = rules(allow("*", Condition=condition))
    assert judged.allow("iot:Publish", f"{TOPIC}a") is holds


@pytest.mark.parametrize(
    "condition",
    [{"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"StringEquals": {"aws:userid": "x"}}],
    ids=["operator", "key"],
)
def test_conditions_not_understood(condition: dict[str, Any]) -> None:
    """A condition that is not understood neither allows nor lifts a prohibition."""
    assert not rules(allow("*", Condition=condition)).allow("iot:Publish", f"{TOPIC}a")
    denied = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}
    assert not rules(allow("*"), denied).allow("iot:Publish", f"{TOPIC}a")


def test_one_statement() -> None:
    """A document may hold one statement that is no list."""
    document: ports.Document = {"Statement": allow("*")}
    assert policies.Rules([document], {}).allow("iot:Publish", f"{TOPIC}a")


@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(max_size=8), min_size=600, max_size=700, unique=True))
def test_memory(topics: list[str]) -> None:
    """However many topics a device makes up, few answers are remembered, and all are right."""
    judged = rules(allow(f"{TOPIC}a*"))
    for topic in topics:
        assert judged.allow("iot:Publish", TOPIC + topic) is topic.startswith("a")
    assert len(judged._remembered) <= policies.MAX_REMEMBERED
