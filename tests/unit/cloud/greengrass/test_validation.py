"""The validator against the model: what botocore's own shapes allow and what they do not."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from botocore import model as boto
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from verge.cloud.greengrass import faults, model, validation, wire

TARGET = "arn:aws:iot:eu-west-1:123456789012:thinggroup/line"


def check(operation: str, params: Mapping[str, Any]) -> None:
    """Check the members of a request."""
    shape = model.service().operation_model(operation).input_shape
    assert shape is not None
    validation.check(shape, params)


@pytest.mark.parametrize(
    ("operation", "params", "member", "rule"),
    [
        pytest.param("CreateDeployment", {}, "targetArn", "not be null", id="missing"),
        pytest.param("CreateDeployment", {"targetArn": 7}, "targetArn", "a string", id="type"),
        pytest.param(
            "CreateDeployment", {"targetArn": "arn:x"}, "targetArn", "pattern", id="pattern"
        ),
        pytest.param(
            "CreateDeployment", {"targetArn": f"x{TARGET}"}, "targetArn", "pattern", id="anchored"
        ),
        pytest.param(
            "CreateDeployment",
            {"targetArn": TARGET, "deploymentName": "x" * 257},
            "deploymentName",
            "length less than or equal to 256",
            id="length",
        ),
        pytest.param(
            "CreateDeployment",
            {"targetArn": TARGET, "components": {"c": {}}},
            "components.c.member.componentVersion",
            "not be null",
            id="nested",
        ),
        pytest.param(
            "CreateDeployment",
            {"targetArn": TARGET, "components": {"": {"componentVersion": "1.0.0"}}},
            "components.key",
            "length greater than or equal to 1",
            id="key",
        ),
        pytest.param(
            "CreateDeployment",
            {"targetArn": TARGET, "clientToken": "a b"},
            "clientToken",
            "pattern",
            id="token",
        ),
        pytest.param(
            "CreateDeployment",
            {"targetArn": TARGET, "tags": {}},
            "tags",
            "length greater than or equal to 1",
            id="empty map",
        ),
        pytest.param(
            "CreateDeployment",
            {"targetArn": TARGET, "deploymentPolicies": {"failureHandlingPolicy": "HOPE"}},
            "deploymentPolicies.failureHandlingPolicy",
            "enum value set: [ROLLBACK, DO_NOTHING]",
            id="word",
        ),
        pytest.param(
            "CreateDeployment",
            {"targetArn": TARGET, "iotJobConfiguration": {"abortConfig": {"criteriaList": []}}},
            "iotJobConfiguration.abortConfig.criteriaList",
            "length greater than or equal to 1",
            id="empty list",
        ),
        pytest.param(
            "UntagResource",
            {"resourceArn": "arn:aws:greengrass:r:1:deployments:d", "tagKeys": ["a", ""]},
            "tagKeys.2.member",
            "length greater than or equal to 1",
            id="list member",
        ),
        pytest.param("ListComponents", {"maxResults": 101}, "maxResults", "100", id="most"),
        pytest.param("ListComponents", {"maxResults": 0}, "maxResults", "1", id="least"),
        pytest.param("ListComponents", {"maxResults": True}, "maxResults", "number", id="truth"),
        pytest.param("ListComponents", {"maxResults": "x"}, "maxResults", "number", id="text"),
    ],
)
def test_rules(operation: str, params: dict[str, Any], member: str, rule: str) -> None:
    """A member that breaks a rule is refused by its path and the rule."""
    with pytest.raises(faults.ValidationFault) as caught:
        check(operation, params)
    (field,) = caught.value.fields["fields"]
    assert field["name"] == member
    assert rule in field["message"]
    assert f"at '{member}' failed to satisfy constraint" in caught.value.message
    assert caught.value.fields["reason"] == "FIELD_VALIDATION_FAILED"


def test_all_violations_are_named() -> None:
    """One refusal names everything that is wrong."""
    with pytest.raises(faults.ValidationFault, match="2 validation errors detected"):
        check("CreateDeployment", {"clientToken": "é"})


def test_long_values_are_cut() -> None:
    """A message does not repeat a value of megabytes."""
    with pytest.raises(faults.ValidationFault) as caught:
        check("CreateDeployment", {"targetArn": "x" * 10**6})
    assert len(caught.value.message) < 400


def test_patterns_compile() -> None:
    """Every pattern of the model is one that this language reads."""
    service = model.service()
    shapes = [service.shape_for(name) for name in service.shape_names]
    patterns = {shape.metadata["pattern"] for shape in shapes if "pattern" in shape.metadata}
    assert len(patterns) > 5
    for pattern in patterns:
        re.compile(pattern)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
INPUTS = [shape for each in model.operations() if (shape := each.input_shape) and shape.members]


@st.composite
def request(draw: st.DrawFn) -> tuple[boto.StructureShape, dict[str, Any]]:
    """A shape and members that may or may not be right."""
    shape = draw(st.sampled_from(INPUTS))
    names = st.sampled_from(sorted(shape.members))
    return shape, draw(st.dictionaries(names, JSON, max_size=4))


@given(request())
def test_any_request(drawn: tuple[boto.StructureShape, dict[str, Any]]) -> None:
    """Whatever the members are, the answer is yes or a refusal."""
    shape, params = drawn
    found = list(validation.violations(shape, params))
    assert all(violation.path and violation.rule for violation in found)
    with contextlib.nullcontext() if not found else pytest.raises(faults.ValidationFault):
        validation.check(shape, params)


@given(JSON)
def test_any_body(body: Any) -> None:
    """Whatever JSON a client sends, reading it gives members or a refusal."""
    operation = model.service().operation_model("CreateDeployment")
    request = Request(EnvironBuilder(method="POST", data=json.dumps(body)).get_environ())
    try:
        members = wire.read(operation, request, {})
    except faults.ValidationFault:
        assert not isinstance(body, dict)
    else:
        assert set(members) <= set(operation.input_shape.members)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"7",
        b'{"a": NaN}',
        b"\xff",
        b'{"deploymentName": "\\ud800"}',
        b"[" * 100_000,
    ],
    ids=["cut", "list", "number", "nan", "binary", "half character", "deep"],
)
def test_bodies_that_are_none(body: bytes) -> None:
    """A body that is no JSON object is refused as one that cannot be parsed."""
    operation = model.service().operation_model("CreateDeployment")
    request = Request(EnvironBuilder(method="POST", data=body).get_environ())
    with pytest.raises(faults.ValidationFault, match="cannot read") as caught:
        wire.read(operation, request, {})
    assert caught.value.fields["reason"] == "CANNOT_PARSE"
