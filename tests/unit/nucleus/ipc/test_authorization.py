from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verge.nucleus.ipc import authorization

PUBSUB, MQTT = authorization.PUBSUB, authorization.MQTT_PROXY
OPERATION = "aws.greengrass#PublishToTopic"


def _covers(pattern: str, resource: str, *, mqtt: bool = False) -> bool:
    return authorization.matches(authorization.parse_resource(pattern, mqtt=mqtt), resource)


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/bc", False),
        ("a/b", "xa/b", False),
        ("*", "", True),
        ("*", "any/thing", True),
        ("a/*", "a/", True),
        ("a/*", "a/b/c", True),
        ("a/*", "a", False),
        ("*/b", "a/b", True),
        ("a*c*e", "abcde", True),
        ("a*c*e", "abde", False),
        ("a**c", "abc", True),
        ("a/#", "a/#", True),
        ("a/#", "a/b", False),
        ("a/+", "a/b", False),
        ("a/*", "a/#", True),
        ("a${*}", "a*", True),
        ("a${*}", "ab", False),
        ("a${?}b", "a?b", True),
        ("${$}{x}", "${x}", True),
        ("$aws/things/t/shadow", "$aws/things/t/shadow", True),
        ("a/${", "a/${", True),
    ],
)
def test_standard_matching(pattern: str, resource: str, expected: bool) -> None:
    """`*` is any run, `+` and `#` are plain characters, escapes are literal (contract 4.9)."""
    assert _covers(pattern, resource) is expected


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        ("a/+", "a/b", True),
        ("a/+", "a/", True),
        ("a/+", "a/b/c", False),
        ("a/+/c", "a/b/c", True),
        ("a/+", "a/+", True),
        ("a/+", "a/#", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "a/#", True),
        ("a/#", "a/+/c", True),
        ("a/#", "ab", False),
        ("#", "a/b", True),
        ("#", "#", True),
        ("+", "a", True),
        ("+/#", "a/b/c", True),
        ("+/#", "a", True),
        ("a/+/#", "a/b", True),
        ("a/+/#", "a", False),
        ("a+/b", "a+/b", True),
        ("a+/b", "ax/b", False),
        ("a/#/b", "a/#/b", True),
        ("a/#/b", "a/x/b", False),
        ("a/*/+", "a/b/c/d", True),
        ("*/b", "a/b", True),
    ],
)
def test_mqtt_matching(pattern: str, resource: str, expected: bool) -> None:
    """In the MQTT style `+` fills a level and a last `#` the rest, the parent included."""
    assert _covers(pattern, resource, mqtt=True) is expected


@pytest.mark.parametrize("pattern", ["", "a?b", "?", "${x}", "a/${iot:thingName}", "${}"])
@pytest.mark.parametrize("mqtt", [False, True])
def test_invalid_resources(pattern: str, mqtt: bool) -> None:
    """An empty resource, a bare `?` and unknown escapes are invalid."""
    with pytest.raises(authorization.InvalidResourceError):
        authorization.parse_resource(pattern, mqtt=mqtt)


@given(st.text("ab*/", min_size=1, max_size=8), st.text("ab/", max_size=10))
def test_standard_matching_agrees_with_expressions(pattern: str, resource: str) -> None:
    """Matching says the same as a regular expression."""
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    assert _covers(pattern, resource) is bool(re.fullmatch(expression, resource))


def test_matching_has_no_bad_case() -> None:
    """A pattern of many stars is decided at once."""
    assert not _covers("*a" * 50 + "b", "a" * 2000)


def _access(policy: Any, service: str = PUBSUB) -> dict[str, Any]:
    return {service: {"one": policy}}


def _allows(value: Any, resource: str = "a/b", service: str = PUBSUB) -> bool:
    return authorization.parse_policies("c", value).allow(service, OPERATION, resource)


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        pytest.param(_access({"operations": [OPERATION], "resources": ["*"]}), True, id="exact"),
        pytest.param(_access({"operations": ["*"], "resources": ["a/*"]}), True, id="star"),
        pytest.param(_access({"OPERATIONS": ["*"], "Resources": ["*"]}), True, id="any case"),
        pytest.param(
            '{"aws.greengrass.ipc.pubsub": {"one": {"operations": ["*"], "resources": ["*"]}}}',
            True,
            id="JSON text",
        ),
        pytest.param(
            _access({"operations": ["*"], "resources": ["a?", "*"], "policyDescription": "x"}),
            True,
            id="one resource invalid",
        ),
        pytest.param(_access({"operations": [], "resources": ["*"]}), False, id="no operations"),
        pytest.param(_access({"operations": ["*"]}), False, id="missing resources"),
        pytest.param(_access({"resources": ["*"]}), False, id="missing operations"),
        pytest.param(_access({"operations": ["*"], "resources": None}), False, id="null"),
        pytest.param(_access({"operations": ["*"], "resources": ["*"]}, MQTT), False, id="other"),
        pytest.param("{", False, id="broken JSON text"),
        pytest.param("[]", False, id="JSON list"),
        pytest.param(5, False, id="number"),
        pytest.param(None, False, id="nothing"),
        pytest.param({PUBSUB: []}, False, id="list of policies"),
        pytest.param(
            {PUBSUB: {"one": {"operations": ["*"], "resources": ["*"]}, "two": 5}},
            False,
            id="one policy is malformed",
        ),
        pytest.param(
            {PUBSUB: {"one": {"operations": "*", "resources": ["*"]}}}, False, id="no list"
        ),
    ],
)
def test_policies(value: Any, allowed: bool) -> None:
    """Only well-formed policies allow; what does not deserialise disables all."""
    assert _allows(value) is allowed


def test_mqtt_policies_match_as_mqtt() -> None:
    """Policies of the MQTT proxy match in the MQTT style, others do not."""
    policy = {"operations": ["*"], "resources": ["a/#"]}
    assert _allows(_access(policy, MQTT), service=MQTT)
    assert not _allows(_access(policy), service=PUBSUB)


def test_malformed_policies_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What is left out is logged with component and policy."""
    assert not _allows(_access({"operations": ["*"], "resources": ["a?"]}))
    assert "Resource skipped component=c policy=one" in caplog.text
    assert not _allows(5)
    assert "Access control disabled component=c" in caplog.text


def test_decisions_are_remembered_within_bounds() -> None:
    """Asking for many resources does not take memory without bound."""
    policies = authorization.parse_policies(
        "c", _access({"operations": ["*"], "resources": ["a/*"]})
    )
    for number in range(3000):
        assert policies.allow(PUBSUB, OPERATION, f"a/{number}")
        assert not policies.allow(PUBSUB, OPERATION, f"b/{number}")
    assert policies.allow(PUBSUB, OPERATION, "a/" + "x" * 1000)
    assert len(policies._decisions) <= 1024
