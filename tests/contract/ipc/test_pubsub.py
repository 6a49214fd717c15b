"""Local publish and subscribe through both SDK clients (contract 4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from awsiot.greengrasscoreipc import model

from tests.contract.ipc import conftest, raw, sdk
from tests.support import ipc_host

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = f"token-of-{conftest.COMPONENT}"


def publish(client: sdk.Sdk, topic: str, value: Any = None) -> None:
    message = sdk.json_message({"value": value})
    client.call("publish_to_topic", topic=topic, publish_message=message)


def received(stream: sdk.Stream) -> Any:
    return stream.next().json_message.message["value"]


def test_json_message(connect: sdk.Connect) -> None:
    """A JSON message arrives with its document and its topic."""
    stream = connect().subscribe("subscribe_to_topic", topic="press/1")
    document = {"text": "ä€😀", "list": [1, 2.5, None, True], "nested": {"a": {}}}
    connect(conftest.OTHER).call(
        "publish_to_topic", topic="press/1", publish_message=sdk.json_message(document)
    )
    event = stream.next()
    assert event.json_message.message == document
    assert event.json_message.context.topic == "press/1"
    assert event.binary_message is None


def test_binary_message(connect: sdk.Connect) -> None:
    """A binary message arrives as the same bytes."""
    stream = connect().subscribe("subscribe_to_topic", topic="press/1")
    data = bytes(range(256))
    connect(conftest.OTHER).call(
        "publish_to_topic", topic="press/1", publish_message=sdk.binary_message(data)
    )
    event = stream.next()
    assert event.binary_message.message == data
    assert event.binary_message.context.topic == "press/1"


def test_megabytes(connect: sdk.Connect) -> None:
    """A message of 8 MiB passes."""
    stream = connect().subscribe("subscribe_to_topic", topic="big")
    data = bytes(1024) * 8 * 1024
    connect(conftest.OTHER).call(
        "publish_to_topic", topic="big", publish_message=sdk.binary_message(data)
    )
    assert stream.next().binary_message.message == data


def test_order(connect: sdk.Connect) -> None:
    """A subscriber gets messages in the order in which they were published."""
    stream = connect().subscribe("subscribe_to_topic", topic="press/+")
    publisher = connect(conftest.OTHER)
    for number in range(300):
        publish(publisher, f"press/{number % 3}", number)
    assert [received(stream) for _ in range(300)] == list(range(300))


def test_nobody_subscribed(connect: sdk.Connect) -> None:
    """Publishing to nobody succeeds, and nothing is kept for later."""
    client = connect()
    publish(client, "press/1", "early")
    stream = client.subscribe("subscribe_to_topic", topic="press/1")
    publish(client, "press/1", "late")
    assert received(stream) == "late"


def test_two_streams_get_two_events(connect: sdk.Connect) -> None:
    """Each subscription of the same client gets its own event."""
    client = connect()
    streams = [client.subscribe("subscribe_to_topic", topic="a/b") for _ in range(2)]
    publish(client, "a/b", 1)
    assert [received(stream) for stream in streams] == [1, 1]


def test_closed_stream_gets_nothing(connect: sdk.Connect) -> None:
    """After the client has ended its stream no event comes on it."""
    client = connect()
    ended = client.subscribe("subscribe_to_topic", topic="a/b")
    ended.end()
    ended.ended.get(timeout=sdk.TIMEOUT)
    stream = client.subscribe("subscribe_to_topic", topic="a/b")
    publish(client, "a/b", 1)
    assert received(stream) == 1
    assert ended.events.empty()


@pytest.mark.parametrize(
    ("topic_filter", "mode", "own"),
    [
        pytest.param("a/b", None, True, id="plain topic"),
        pytest.param("a/+", None, False, id="plus"),
        pytest.param("a/#", None, False, id="hash"),
        pytest.param("a/+", "RECEIVE_ALL_MESSAGES", True, id="plus, all"),
        pytest.param("a/b", "RECEIVE_MESSAGES_FROM_OTHERS", False, id="plain, others"),
    ],
)
def test_receive_mode(connect: sdk.Connect, topic_filter: str, mode: str | None, own: bool) -> None:
    """Wildcard filters get no messages of their own component unless asked to."""
    fields = {"topic": topic_filter} | ({"receive_mode": mode} if mode else {})
    stream = connect().subscribe("subscribe_to_topic", **fields)
    # "Others" is by component: this is another connection of the same one.
    publish(connect(), "a/b", "own")
    publish(connect(conftest.OTHER), "a/b", "other")
    assert received(stream) == ("own" if own else "other")


@pytest.mark.parametrize("topic", ["a/+", "a/#", "a*b", "+", "a+b"])
def test_publish_to_wildcards_is_refused(connect: sdk.Connect, topic: str) -> None:
    """A topic to publish to holds no wildcard, anywhere."""
    with pytest.raises(model.InvalidArgumentsError):
        publish(connect(), topic)


@pytest.mark.parametrize(
    "request_fields",
    [
        pytest.param({"publishMessage": {"jsonMessage": {"message": {}}}}, id="no topic"),
        pytest.param({"topic": "a"}, id="no message"),
        pytest.param({"topic": "a", "publishMessage": {}}, id="empty message"),
        pytest.param({"topic": "a", "publishMessage": {"jsonMessage": {}}}, id="empty JSON"),
        pytest.param({"topic": "a", "publishMessage": {"binaryMessage": {}}}, id="empty binary"),
        pytest.param(
            {
                "topic": "a",
                "publishMessage": {
                    "jsonMessage": {"message": {}},
                    "binaryMessage": {"message": "YQ=="},
                },
            },
            id="both",
        ),
        pytest.param(
            {"topic": "a", "publishMessage": {"binaryMessage": {"message": "%%%%"}}},
            id="no base64",
        ),
    ],
)
def test_incomplete_publish(
    running: ipc_host.RunningServer, request_fields: dict[str, Any]
) -> None:
    """A publish without its parts is an InvalidArgumentsError."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        assert client.call(1, "PublishToTopic", request_fields)[0] == "InvalidArgumentsError"


@pytest.mark.parametrize(
    "request_fields",
    [
        pytest.param({}, id="no topic"),
        pytest.param({"topic": ""}, id="empty topic"),
        pytest.param({"topic": "a", "receiveMode": "SOME"}, id="unknown mode"),
        pytest.param({"topic": "a" * 70_000}, id="long"),
    ],
)
def test_invalid_subscribe(running: ipc_host.RunningServer, request_fields: dict[str, Any]) -> None:
    """A subscription without a usable topic is an InvalidArgumentsError."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        assert client.call(1, "SubscribeToTopic", request_fields)[0] == "InvalidArgumentsError"


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"[" * 900 + b"]" * 900, id="nested 900 deep"),
        pytest.param(b'{"a":' * 900 + b"1" + b"}" * 900, id="objects 900 deep"),
        pytest.param(b'"\xff\xfe"', id="no text"),
        pytest.param(b"NaN", id="no number"),
        pytest.param(b"[1,", id="cut"),
    ],
)
def test_document_that_would_break_a_subscriber(
    running: ipc_host.RunningServer, document: bytes
) -> None:
    """What a subscriber's parser would choke on is refused to its publisher."""
    body = b'{"topic":"a","publishMessage":{"jsonMessage":{"message":' + document + b"}}}"
    client = sdk.V2(running.path, f"token-of-{conftest.OTHER}")
    stream = client.subscribe("subscribe_to_topic", topic="a")
    with raw.RawClient(running.path) as bad:
        bad.shake_hands(TOKEN)
        assert bad.call(1, "PublishToTopic", body)[0] in {"ServiceError", "InvalidArgumentsError"}
    publish(client, "a", 1)
    assert received(stream) == 1
    client.close()


def test_nesting_that_parsers_stand(running: ipc_host.RunningServer) -> None:
    """A document nested 200 deep reaches an SDK client."""
    document: Any = {}
    for _ in range(199):
        document = {"a": document}
    client = sdk.V2(running.path, TOKEN)
    stream = client.subscribe("subscribe_to_topic", topic="a")
    client.call("publish_to_topic", topic="a", publish_message=sdk.json_message(document))
    assert stream.next().json_message.message == document
    client.close()


def test_filters_are_bounded(nucleus: ipc_host.MemoryHost, tmp_path: Path) -> None:
    """A component with too many filters gets an error; ended streams make room again."""
    with (
        ipc_host.running_server(nucleus, tmp_path / "s") as running,
        raw.RawClient(running.path) as client,
    ):
        client.shake_hands(TOKEN)
        shapes = []
        for stream in range(1, 70):
            fields = {"topic": "/".join(["a"] * 1_000) + str(stream)}
            shapes.append(client.call(stream, "SubscribeToTopic", fields)[0])
        refused = shapes.index("ServiceError")
        assert set(shapes[:refused]) == {"SubscribeToTopicResponse"}
        client.send(raw.request_frame(1, None, flags=2))
        assert client.call(99, "SubscribeToTopic", {"topic": "a"})[0] == "SubscribeToTopicResponse"


def test_publisher_is_answered_before_it_gets_its_own_event(
    running: ipc_host.RunningServer,
) -> None:
    """The publisher has its answer before the message is delivered."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        client.call(1, "SubscribeToTopic", {"topic": "a/b"})
        fields = {"topic": "a/b", "publishMessage": {"jsonMessage": {"message": 1}}}
        assert client.call(2, "PublishToTopic", fields)[0] == "PublishToTopicResponse"
        assert client.receive().get(":stream-id") == 1
