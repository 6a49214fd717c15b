"""Messages to and from AWS IoT Core through both SDK clients (contract 4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from awsiot.greengrasscoreipc import model

from tests.contract.ipc import conftest, sdk
from verge.nucleus.iot_core import spool

if TYPE_CHECKING:
    from tests.support import ipc_host

POLICY = {"1": {"operations": ["*"], "resources": ["a/#"]}}
ACCESS = {"accessControl": {"aws.greengrass.ipc.mqttproxy": POLICY}}


@pytest.fixture
def client(nucleus: ipc_host.MemoryHost, connect: sdk.Connect) -> sdk.Sdk:
    nucleus.install(conftest.OTHER, ACCESS)
    return connect(conftest.OTHER)


def queued(running: ipc_host.RunningServer) -> Any:
    return running.do(running.nucleus.iot_core.spool.oldest, 10)


def test_published_messages_wait_for_the_link(
    client: sdk.Sdk, running: ipc_host.RunningServer
) -> None:
    """What was acknowledged is in the spool, with all its properties and in order."""
    client.call(
        "publish_to_iot_core",
        topic_name="a/b",
        qos="1",
        payload=b"\x00\xff",
        retain=True,
        user_properties=[model.UserProperty(key="k", value="v")],
        message_expiry_interval_seconds=60,
        correlation_data=b"\x01",
        response_topic="a/r",
        payload_format="0",
        content_type="x/y",
    )
    client.call("publish_to_iot_core", topic_name="a/c", qos="0", payload=b"")
    first, second = queued(running)
    assert first.qos == 1
    assert first.message == spool.Message(
        topic_name="a/b",
        payload=b"\x00\xff",
        retain=True,
        user_properties=[spool.UserProperty("k", "v")],
        message_expiry_interval_seconds=60,
        correlation_data=b"\x01",
        response_topic="a/r",
        payload_format="0",
        content_type="x/y",
    )
    assert (second.message.topic_name, second.message.payload, second.qos) == ("a/c", b"", 0)


def test_full_spool_is_a_service_error(client: sdk.Sdk, running: ipc_host.RunningServer) -> None:
    """A message that finds no room is refused, so its publisher can keep it."""
    for _ in range(19):
        client.call("publish_to_iot_core", topic_name="a", qos="1", payload=bytes(131_072))
    with pytest.raises(model.ServiceError) as refused:
        client.call("publish_to_iot_core", topic_name="a", qos="1", payload=bytes(131_072))
    assert "bytes wait for AWS IoT Core already" in refused.value.message
    assert len(running.do(running.nucleus.iot_core.spool.oldest, 100)) == 19


def test_messages_from_the_cloud(client: sdk.Sdk, running: ipc_host.RunningServer) -> None:
    """A subscriber gets what matches its filter, with all properties."""
    stream = client.subscribe("subscribe_to_iot_core", topic_name="a/#", qos="1")
    hub = running.nucleus.iot_core
    assert running.do(lambda: hub.filters) == {"a/#": 1}
    for topic in ("b", "a/x"):
        message = spool.Message(
            topic_name=topic,
            payload=b"\xff",
            user_properties=[spool.UserProperty("k", "v")],
            content_type="x/y",
        )
        running.do(hub.arrived, message)
    got = stream.next().message
    assert (got.topic_name, got.payload, got.content_type) == ("a/x", b"\xff", "x/y")
    assert [(each.key, each.value) for each in got.user_properties] == [("k", "v")]
    stream.end()
    stream.ended.get(timeout=sdk.TIMEOUT)
    client.call("publish_to_iot_core", topic_name="a", qos="0", payload=b"")
    assert running.do(lambda: hub.filters) == {}


def test_connection_status(connect: sdk.Connect, running: ipc_host.RunningServer) -> None:
    """The present state comes first, then every change; no policy is needed."""
    client = connect("com.example.Denied")
    stream = client.subscribe("subscribe_to_iot_core_connection_status")
    hub = running.nucleus.iot_core
    for connected in (True, True, False):
        running.do(lambda up=connected: hub.link_changed(connected=up))
    told = [stream.next().connection_status_event.status for _ in range(3)]
    assert told == ["DISCONNECTED", "CONNECTED", "DISCONNECTED"]
    assert stream.events.empty()


@pytest.mark.parametrize("operation", ["publish_to_iot_core", "subscribe_to_iot_core"])
def test_refusal_has_the_words_of_classic(client: sdk.Sdk, operation: str) -> None:
    """Who has no policy reads "Not Authorized"."""
    fields: dict[str, Any] = {"topic_name": "b", "qos": "1"}
    act = client.subscribe if operation.startswith("sub") else client.call
    if act == client.call:
        fields["payload"] = b""
    with pytest.raises(model.UnauthorizedError) as refused:
        act(operation, **fields)
    assert refused.value.message == "Not Authorized"


ENDS_THE_LINK = [
    {"topic_name": "a/\t"},
    {"response_topic": "r" * 70_000},
    {"response_topic": "a\0"},
    {"content_type": "\x7f"},
    {"correlation_data": bytes(70_000)},
    {"user_properties": [model.UserProperty(key="k", value="\n")]},
    {"user_properties": [model.UserProperty(key="\uffff", value="v")]},
    {"user_properties": [model.UserProperty(key="", value="")] * 2000},
    {"user_properties": [model.UserProperty(key="k", value="v" * 1000)] * 9},
]


@pytest.mark.parametrize("fields", ENDS_THE_LINK, ids=lambda fields: next(iter(fields)))
def test_message_that_would_end_the_link_is_refused(
    client: sdk.Sdk, running: ipc_host.RunningServer, fields: dict[str, Any]
) -> None:
    """What no broker takes is never queued: it would end the link of all, again and again."""
    with pytest.raises(model.InvalidArgumentsError):
        client.call(
            "publish_to_iot_core", **{"topic_name": "a/b", "qos": "1", "payload": b"", **fields}
        )
    assert queued(running) == []


def test_filter_that_would_end_the_link_is_refused(
    client: sdk.Sdk, running: ipc_host.RunningServer
) -> None:
    """A filter that no broker takes is never subscribed to."""
    with pytest.raises(model.InvalidArgumentsError):
        client.subscribe("subscribe_to_iot_core", topic_name="a/\x1f", qos="1")
    assert running.do(lambda: running.nucleus.iot_core.filters) == {}
