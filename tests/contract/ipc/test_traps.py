"""The traps of contract 7 that concern IPC, each as a test that cites it."""

from __future__ import annotations

import base64
import pathlib
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.ipc import conftest, raw, sdk
from tests.support import ipc_host
from verge.nucleus.ipc import limits

if TYPE_CHECKING:
    from pathlib import Path

COMPONENT, OTHER = conftest.COMPONENT, conftest.OTHER
TOKEN = f"token-of-{COMPONENT}"
OF_IPC = {8, 12, 13, 14, 15, 16, 17}
TERMINATE = 2


def test_every_trap_of_ipc_is_cited() -> None:
    """Each numbered trap that concerns IPC has a test here that names it."""
    texts = [file.read_text() for file in pathlib.Path(__file__).parent.glob("test_*.py")]
    cited = {int(number) for text in texts for number in re.findall(r"7, trap (\d+)", text)}
    assert cited >= OF_IPC


@pytest.mark.parametrize(
    ("operation", "request_fields", "flags"),
    [
        ("UpdateState", {"state": "RUNNING"}, TERMINATE),
        ("GetConfiguration", {}, TERMINATE),
        ("SubscribeToTopic", {"topic": "a/b"}, 0),
        ("SubscribeToComponentUpdates", {}, 0),
    ],
)
def test_headers_and_payload_of_answers(
    running: ipc_host.RunningServer, operation: str, request_fields: Any, flags: int
) -> None:
    """Answers name their model, hold an object, and end unary streams (contract 7, trap 12)."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN).send(raw.request_frame(1, operation, request_fields))
        answer = client.receive()
    assert answer.get("service-model-type") == f"aws.greengrass#{operation}Response"
    assert answer.get(":content-type") == "application/json"
    assert answer.get(":message-flags") == flags
    assert isinstance(raw.content(answer), dict)


def test_event_that_is_due_at_once_follows_the_response(running: ipc_host.RunningServer) -> None:
    """Even a subscription that has an event at once is answered first (contract 7, trap 12)."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        client.send(raw.request_frame(1, "SubscribeToIoTCoreConnectionStatus"))
        shapes = [raw.shape(client.receive()) for _ in range(2)]
    assert shapes == [
        "SubscribeToIoTCoreConnectionStatusResponse",
        "IoTCoreConnectionStatusEvent",
    ]


def test_streams_and_flags_of_every_message(running: ipc_host.RunningServer) -> None:
    """Messages go on streams that the client opened, always with flags (contract 7, trap 13)."""
    publication = {"topic": "a/b", "publishMessage": {"jsonMessage": {"message": 1}}}
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        client.send(raw.request_frame(7, "SubscribeToTopic", {"topic": "a/b"}))
        client.send(raw.request_frame(9, "PublishToTopic", publication))
        client.send(raw.request_frame(11, "NoSuchOperation"))
        messages = [client.receive() for _ in range(4)]
    assert sorted(int(each.get(":stream-id") or 0) for each in messages) == [7, 7, 9, 11]
    assert {each.get(":message-flags") for each in messages} <= {0, TERMINATE}


def test_client_survives_the_race_of_events_and_ends(connect: sdk.Connect) -> None:
    """Ending a stream while events are on their way costs no connection (contract 7, trap 13)."""
    subscriber, publisher = connect(), connect(OTHER)
    for number in range(50):
        stream = subscriber.subscribe("subscribe_to_topic", topic="a/b")
        publisher.call("publish_to_topic", topic="a/b", publish_message=sdk.json_message(number))
        stream.end()
    assert subscriber.call("get_configuration").component_name == COMPONENT


def test_idle_client_is_left_in_peace(nucleus: ipc_host.MemoryHost, tmp_path: Path) -> None:
    """The server pings nobody and times nobody out: clients do not answer (contract 7, trap 14)."""
    most = limits.Limits(handshake=0.05)
    with (
        ipc_host.running_server(nucleus, tmp_path / "ipc.socket", most) as running,
        raw.RawClient(running.path, timeout=0.3) as client,
    ):
        client.shake_hands(TOKEN)
        with pytest.raises(TimeoutError):
            client.receive()
        assert client.call(1, "GetConfiguration")[0] == "GetConfigurationResponse"


def test_timestamps_are_seconds(running: ipc_host.RunningServer) -> None:
    """A time on the wire is seconds with a fraction, in both directions (contract 7, trap 15)."""
    access = {"aws.greengrass.ShadowManager": {"1": {"operations": ["*"], "resources": ["*"]}}}
    running.do(running.nucleus.configuration.put, OTHER, {"accessControl": access, "rate": 1})
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{OTHER}")
        before = time.time()
        listed = client.call(1, "ListNamedShadowsForThing", {"thingName": "press-01"})[1]
        assert before - 1 <= listed["timestamp"] <= time.time() + 1
        assert isinstance(listed["timestamp"], float)
        update = {"valueToMerge": {"rate": 2}}
        shape, _ = client.call(2, "UpdateConfiguration", {**update, "timestamp": before})
        assert shape == "UpdateConfigurationResponse"
        shape, _ = client.call(3, "UpdateConfiguration", {**update, "timestamp": before - 0.25})
        assert shape == "FailedUpdateConditionCheckError"


def test_blobs_and_error_texts(running: ipc_host.RunningServer) -> None:
    """Blobs are standard base64, and errors say why in `message` (contract 7, trap 15)."""
    data = bytes(range(250, 256))
    publication = {"binaryMessage": {"message": base64.b64encode(data).decode()}}
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        client.call(1, "SubscribeToTopic", {"topic": "a/b"})
        client.send(
            raw.request_frame(2, "PublishToTopic", {"topic": "a/b", "publishMessage": publication})
        )
        messages = {
            each.get(":stream-id"): raw.content(each)
            for each in (client.receive(), client.receive())
        }
        assert messages[1]["binaryMessage"]["message"] == "+vv8/f7/"
        assert client.call(3, "PublishToTopic", {"topic": "+"})[1]["message"]


@pytest.mark.parametrize(
    ("service", "operation", "resource", "topic", "allowed"),
    [
        pytest.param("pubsub", "PublishToTopic", "a/#", "a/b", False, id="# is literal"),
        pytest.param("pubsub", "SubscribeToTopic", "a/#", "a/#", True, id="# as it is"),
        pytest.param("pubsub", "PublishToTopic", "a/+", "a/b", False, id="+ is literal"),
        pytest.param("pubsub", "PublishToTopic", "a*", "a/b/c", True, id="* spans /"),
        pytest.param("pubsub", "PublishToTopic", "a?b", "a/b", False, id="? is no wildcard"),
        pytest.param("pubsub", "PublishToTopic", "a${?}b", "a?b", True, id="escaped ?"),
        pytest.param("mqttproxy", "PublishToIoTCore", "a/#", "a/b/c", True, id="mqtt #"),
        pytest.param("mqttproxy", "PublishToIoTCore", "a/#", "a", True, id="mqtt # and parent"),
        pytest.param("mqttproxy", "PublishToIoTCore", "a/+", "a/b", True, id="mqtt +"),
        pytest.param("mqttproxy", "PublishToIoTCore", "a/+", "a/b/c", False, id="mqtt + deeper"),
        pytest.param("mqttproxy", "SubscribeToIoTCore", "a/#", "a/+/#", True, id="mqtt filter"),
        pytest.param("mqttproxy", "SubscribeToIoTCore", "a/+", "a/#", False, id="mqtt wider"),
    ],
)
def test_wildcards_of_policies(
    running: ipc_host.RunningServer,
    service: str,
    operation: str,
    resource: str,
    topic: str,
    allowed: bool,
) -> None:
    """Local policies take + and # literally, those of mqttproxy do not (contract 7, trap 16)."""
    policy = {"operations": [f"aws.greengrass#{operation}"], "resources": [resource]}
    access = {f"aws.greengrass.ipc.{service}": {"one": policy}}
    running.do(running.nucleus.install, OTHER, {"accessControl": access})
    fields = {
        "topic": topic,
        "topicName": topic,
        "qos": "1",
        "payload": "",
        "publishMessage": {"jsonMessage": {"message": 1}},
    }
    with raw.RawClient(running.path) as client:
        shape, _ = client.shake_hands(f"token-of-{OTHER}").call(1, operation, fields)
    assert (shape != "UnauthorizedError") is allowed


@pytest.mark.parametrize(
    ("topic_filter", "topic", "own", "arrives"),
    [
        pytest.param("abc/#", "abc", False, False, id="# needs a level below"),
        pytest.param("abc/#", "abc/d/e", False, True, id="# covers all below"),
        pytest.param("abc/#", "abc/d", True, False, id="own, by wildcard"),
        pytest.param("abc/d", "abc/d", True, True, id="own, by name"),
        pytest.param("abc/+", "abc/d/e", False, False, id="+ is one level"),
    ],
)
def test_delivery(
    connect: sdk.Connect, topic_filter: str, topic: str, own: bool, arrives: bool
) -> None:
    """Wildcards cover less than in MQTT, and not one's own messages (contract 7, trap 17)."""
    subscriber = connect()
    publisher = subscriber if own else connect(OTHER)
    stream = subscriber.subscribe("subscribe_to_topic", topic=topic_filter)
    end = subscriber.subscribe("subscribe_to_topic", topic="end")
    for each in (topic, "end"):
        publisher.call("publish_to_topic", topic=each, publish_message=sdk.json_message(each))
    assert end.next().json_message.message == "end"  # the order tells that nothing is to come
    assert stream.events.empty() is not arrives
