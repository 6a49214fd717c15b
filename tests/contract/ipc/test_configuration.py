"""Configuration through both SDK clients (contract 4.8)."""

from __future__ import annotations

import datetime as dt
import queue
import time
from typing import TYPE_CHECKING, Any

import pytest
from awsiot.greengrasscoreipc import model

from tests.contract.ipc import conftest, raw, sdk

if TYPE_CHECKING:
    from tests.support import ipc_host

COMPONENT, OTHER = conftest.COMPONENT, conftest.OTHER
TOKEN = f"token-of-{COMPONENT}"


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.mark.parametrize(
    ("fields", "component", "value"),
    [
        pytest.param({"key_path": ["rate"]}, COMPONENT, {"rate": 5}, id="leaf"),
        pytest.param({"key_path": ["RATE"]}, COMPONENT, {"rate": 5}, id="leaf, other case"),
        pytest.param({"key_path": ["camera"]}, COMPONENT, {"port": 80}, id="object"),
        pytest.param({"key_path": ["camera", "port"]}, COMPONENT, {"port": 80}, id="deep leaf"),
        pytest.param(
            {"component_name": OTHER, "key_path": ["Exposure"]},
            OTHER,
            {"Exposure": "auto"},
            id="another component's",
        ),
    ],
)
def test_get(
    connect: sdk.Connect, fields: dict[str, Any], component: str, value: dict[str, Any]
) -> None:
    """A leaf comes under its name, an object as its content."""
    response = connect().call("get_configuration", **fields)
    assert response.component_name == component
    assert response.value == value


@pytest.mark.parametrize("fields", [{}, {"key_path": []}], ids=["no path", "empty path"])
def test_get_everything(connect: sdk.Connect, fields: dict[str, Any]) -> None:
    """Without a path everything comes."""
    value = connect().call("get_configuration", **fields).value
    assert value["rate"] == 5
    assert value["camera"] == {"port": 80}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"key_path": ["nothing"]}, id="no such key"),
        pytest.param({"key_path": ["rate", "below"]}, id="below a leaf"),
        pytest.param({"component_name": "com.example.Missing"}, id="no such component"),
    ],
)
def test_get_what_is_not_there(connect: sdk.Connect, fields: dict[str, Any]) -> None:
    """What does not exist is a ResourceNotFoundError with classic's words."""
    with pytest.raises(model.ResourceNotFoundError) as missing:
        connect().call("get_configuration", **fields)
    assert missing.value.message == "Key not found"
    assert missing.value.resource_type == "Configuration"


def test_update_merges(connect: sdk.Connect) -> None:
    """Keys are merged into the container that the path names, which is made if missing."""
    client = connect()
    client.call(
        "update_configuration",
        key_path=["camera"],
        timestamp=now(),
        value_to_merge={"port": 81, "lens": {"mm": 35}},
    )
    client.call(
        "update_configuration", key_path=["new", "deep"], timestamp=now(), value_to_merge={"a": [1]}
    )
    value = client.call("get_configuration").value
    assert value["camera"] == {"port": 81, "lens": {"mm": 35}}
    assert value["new"] == {"deep": {"a": [1]}}
    assert value["rate"] == 5


def test_update_older_than_the_value(connect: sdk.Connect) -> None:
    """A write that is older than the present value changes nothing."""
    client = connect()
    client.call("update_configuration", timestamp=now(), value_to_merge={"rate": 6})
    before = now() - dt.timedelta(hours=1)
    with pytest.raises(model.FailedUpdateConditionCheckError):
        client.call("update_configuration", timestamp=before, value_to_merge={"rate": 7})
    assert client.call("get_configuration", key_path=["rate"]).value == {"rate": 6}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"valueToMerge": {"a": 1}}, id="no timestamp"),
        pytest.param({"timestamp": 1.5e9}, id="no value"),
        pytest.param({"timestamp": 1.5e9, "valueToMerge": 5}, id="value is no object"),
        pytest.param({"timestamp": "now", "valueToMerge": {"a": 1}}, id="time is text"),
        pytest.param({"timestamp": 1.5e9, "valueToMerge": {"accessControl": {}}}, id="policies"),
        pytest.param({"timestamp": 1.5e9, "valueToMerge": {"ACCESSCONTROL": {}}}, id="any case"),
        pytest.param(
            {"timestamp": 1.5e9, "keyPath": ["AccessControl", "x"], "valueToMerge": {"y": {}}},
            id="below policies",
        ),
    ],
)
def test_update_is_refused(running: ipc_host.RunningServer, fields: dict[str, Any]) -> None:
    """An incomplete update, or one of the policies, is an InvalidArgumentsError."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        assert client.call(1, "UpdateConfiguration", fields)[0] == "InvalidArgumentsError"


def test_update_of_nested_access_control_is_an_ordinary_key(
    running: ipc_host.RunningServer,
) -> None:
    """Only the top-level accessControl holds policies."""
    fields = {"timestamp": time.time(), "keyPath": ["x"], "valueToMerge": {"accessControl": 1}}
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        assert client.call(1, "UpdateConfiguration", fields)[0] == "UpdateConfigurationResponse"


def test_update_without_configuration(connect: sdk.Connect) -> None:
    """A client of the command line has no configuration of its own."""
    with pytest.raises(model.ResourceNotFoundError):
        connect(conftest.CLI).call(
            "update_configuration", timestamp=now(), value_to_merge={"rate": 6}
        )


def test_subscription_tells_each_leaf(connect: sdk.Connect) -> None:
    """One event for each changed leaf, with its full path, and none for what stays the same."""
    watcher, owner = connect(OTHER), connect()
    stream = watcher.subscribe(
        "subscribe_to_configuration_update", component_name=COMPONENT, key_path=["camera"]
    )
    update = {"camera": {"port": 81, "lens": {"mm": 35}}, "rate": 9}
    owner.call("update_configuration", timestamp=now(), value_to_merge=update)
    owner.call("update_configuration", timestamp=now(), value_to_merge={"camera": {"port": 81}})
    owner.call("update_configuration", timestamp=now(), value_to_merge={"camera": {"port": 82}})
    events = [stream.next().configuration_update_event for _ in range(3)]
    assert [event.key_path for event in events] == [
        ["camera", "port"],
        ["camera", "lens", "mm"],
        ["camera", "port"],
    ]
    assert {event.component_name for event in events} == {COMPONENT}
    with pytest.raises(queue.Empty):
        stream.events.get_nowait()


def test_subscription_to_oneself(connect: sdk.Connect) -> None:
    """Without a name and a path, every change of one's own configuration is told."""
    client = connect()
    stream = client.subscribe("subscribe_to_configuration_update")
    client.call("update_configuration", timestamp=now(), value_to_merge={"rate": 6})
    assert stream.next().configuration_update_event.key_path == ["rate"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"key_path": ["nothing"]}, id="no such key"),
        pytest.param({"component_name": "com.example.Missing"}, id="no such component"),
    ],
)
def test_subscription_to_what_is_not_there(connect: sdk.Connect, fields: dict[str, Any]) -> None:
    """What does not exist cannot be followed."""
    with pytest.raises(model.ResourceNotFoundError):
        connect().subscribe("subscribe_to_configuration_update", **fields)
