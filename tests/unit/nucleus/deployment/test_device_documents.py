"""Device documents (Greengrass contract 3.2)."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verge.nucleus.deployment import device_documents
from verge.nucleus.deployment.documents import Channel
from verge.nucleus.ipc import host

WIRE = Path(__file__).parents[3] / "cases" / "wire"
DOCUMENT = json.loads((WIRE / "device_document.json").read_text())
EDGE = "com.example.Edge"


def parse(document: Any) -> device_documents.Order:
    return device_documents.parse(document, Channel.JOB, 5.0)


def changed(**members: Any) -> dict[str, Any]:
    return {**copy.deepcopy(DOCUMENT), **members}


def test_pinned_document_is_understood() -> None:
    """Version, timeout and an object as merge are the device's spellings (contract 7, 9)."""
    order = parse(DOCUMENT)
    assert order.fleet.group == "thinggroup/line1"
    assert order.fleet.configuration_arn.endswith(":configuration:thinggroup/line1:3")
    assert (order.fleet.update_limit, order.fleet.validation_limit) == (60, 30)
    assert order.created == 1_700_000_000
    assert order.request.roots_to_add == {EDGE: "1.2.0", "com.example.Model": "1.0.0"}
    assert order.request.configuration == {
        EDGE: host.ConfigurationUpdate({"rate": "5"}, ["/topic"])
    }
    assert order.request.failure_handling_policy == "ROLLBACK"


def test_spellings_of_the_api_mean_nothing() -> None:
    """What CreateDeployment calls otherwise is not what a device reads (contract 7, 9)."""
    component = {"componentVersion": "1.2.0"}
    with pytest.raises(device_documents.MalformedError, match="version"):
        parse(changed(components={EDGE: component}))
    update = {"merge": '{"rate": "5"}'}
    with pytest.raises(device_documents.MalformedError, match="merge"):
        parse(changed(components={EDGE: {"version": "1.2.0", "configurationUpdate": update}}))
    late = parse(changed(componentUpdatePolicy={"timeoutInSeconds": 5}))
    assert late.fleet.update_limit == 60


def test_run_with_is_always_stated() -> None:
    """Every named component has a user and limits, if only to clear earlier ones (7, 11)."""
    order = parse(DOCUMENT)
    assert order.request.run_with == {
        EDGE: host.RunWith("ggc_user:ggc_group", 102400, 0.5),
        "com.example.Model": host.RunWith(None, None, None),
    }


@pytest.mark.parametrize(
    ("members", "group"),
    [
        pytest.param({}, "thinggroup/line1", id="group"),
        pytest.param({"onBehalfOf": "line2"}, "thinggroup/line2", id="subdeployment"),
        pytest.param({"onBehalfOf": "thinggroup/line2"}, "thinggroup/line2", id="with-prefix"),
        pytest.param(
            {"configurationArn": "arn:aws:greengrass:eu-west-1:1:configuration:thing/press-01:4"},
            "thing/press-01",
            id="thing",
        ),
        pytest.param(
            {"configurationArn": "arn:aws:greengrass:e:1:configuration:thinggroup/a:b:4"},
            "thinggroup/a:b",
            id="colon-in-the-name",
        ),
    ],
)
def test_group(members: dict[str, Any], group: str) -> None:
    """The configuration's ARN says whose roots are replaced, unless it is on behalf of another."""
    assert parse(changed(**members)).fleet.group == group


def test_missing_policies_have_defaults() -> None:
    """Without policies the device goes back after a failure and tells components for 60 s."""
    order = parse({k: v for k, v in DOCUMENT.items() if "olicy" not in k})
    assert order.request.failure_handling_policy == "ROLLBACK"
    assert (order.fleet.update_limit, order.fleet.validation_limit) == (60, 30)


def test_components_may_be_told_nothing() -> None:
    """SKIP_NOTIFY_COMPONENTS asks no component."""
    policy = {"timeout": 60, "action": "SKIP_NOTIFY_COMPONENTS"}
    assert parse(changed(componentUpdatePolicy=policy)).fleet.update_limit is None


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        pytest.param({"configurationArn": "arn:aws:x"}, "configurationArn", id="arn"),
        pytest.param({"configurationArn": None}, "configurationArn", id="no-arn"),
        pytest.param({"deploymentId": ""}, "deploymentId", id="no-id"),
        pytest.param({"components": []}, "components", id="list"),
        pytest.param({"components": {EDGE: "1.0.0"}}, "components", id="bare-version"),
        pytest.param({"components": {EDGE: {"version": "1"}}}, EDGE, id="version"),
        pytest.param({"components": {EDGE: {"version": ">=1.0.0"}}}, EDGE, id="range"),
        pytest.param({"components": {"../x": {"version": "1.0.0"}}}, "'../x'", id="name"),
        pytest.param({"failureHandlingPolicy": "HOPE"}, "HOPE", id="policy"),
        pytest.param({"componentUpdatePolicy": {"action": "ASK"}}, "ASK", id="action"),
        pytest.param({"creationTimestamp": "now"}, "creationTimestamp", id="time"),
        pytest.param({"requiredCapabilities": "ALL"}, "requiredCapabilities", id="capabilities"),
    ],
)
def test_malformed_document_is_refused(members: dict[str, Any], reason: str) -> None:
    """A refusal is one sentence that names the place."""
    with pytest.raises(device_documents.MalformedError) as refused:
        parse(changed(**members))
    assert str(refused.value).startswith("cannot use the deployment document: ")
    assert reason in str(refused.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*DOCUMENT, "version"]), inner, max_size=5)
        ),
    )
)
def test_garbage_is_refused(content: Any) -> None:
    """Whatever comes is an order or a refusal, never a defect."""
    with contextlib.suppress(device_documents.MalformedError):
        assert parse(content).fleet.deployment_id


def test_unknown_capabilities_are_named() -> None:
    """A capability that this nucleus lacks is known as such."""
    fleet = parse(changed(requiredCapabilities=["LARGE_CONFIGURATION", "TELEPATHY"])).fleet
    assert device_documents.unknown_capabilities(fleet) == ["TELEPATHY"]
