"""Handshake, streams and protocol errors (contract 4.4 and 4.5)."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import pytest
from awsiot.eventstreamrpc import AccessDeniedError, ConnectionClosedError

from tests.contract.ipc import conftest, raw, sdk
from tests.support import ipc_host
from verge.nucleus.ipc import framing, limits, listening, rpc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKEN = f"token-of-{conftest.COMPONENT}"
PROTOCOL_ERROR = rpc.MessageType.PROTOCOL_ERROR
SUBSCRIBE = {"topic": "a/b", "receiveMode": "RECEIVE_ALL_MESSAGES"}
PUBLISH = {"topic": "a/b", "publishMessage": {"jsonMessage": {"message": 1}}}


def test_sdk_is_refused_with_an_unknown_token(
    connect: sdk.Connect,
) -> None:
    """An unknown token gives the SDK an AccessDeniedError."""
    with pytest.raises(AccessDeniedError):
        connect("nobody")


def test_sdk_finds_no_socket(tmp_path: Path) -> None:
    """Without a server the SDK says that the path is not valid."""
    with pytest.raises(RuntimeError, match="FILE_INVALID_PATH"):
        sdk.V1(tmp_path / "ipc.socket", TOKEN)


@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(raw.connect_frame(TOKEN, version="0.1.1"), id="other version"),
        pytest.param(raw.connect_frame(""), id="empty token"),
        pytest.param(raw.connect_frame("x", payload=b""), id="no payload"),
        pytest.param(raw.connect_frame("x", payload=b"{}"), id="no token"),
        pytest.param(raw.connect_frame("x", payload=b"no json"), id="no JSON"),
        pytest.param(raw.connect_frame("x", payload=b'{"authToken":"\xff"}'), id="no text"),
        pytest.param(raw.connect_frame("x", payload=b'{"authToken":5}'), id="a number"),
        pytest.param(raw.connect_frame("x", payload=b"[" * 60_000), id="deep nesting"),
    ],
)
def test_handshake_is_refused(hasty: ipc_host.RunningServer, greeting: bytes) -> None:
    """A refused CONNECT is acknowledged with flags 0, then the connection is closed."""
    with raw.RawClient(hasty.path) as client:
        client.send(greeting)
        answer = client.receive()
        assert answer.get(":message-type") == rpc.MessageType.CONNECT_ACK
        assert answer.get(":message-flags") == 0
        assert client.is_closed()


def _broken(change: Callable[[bytearray], None]) -> bytes:
    data = bytearray(raw.request_frame(1, "ListComponents"))
    change(data)
    return bytes(data)


def _flip_payload(data: bytearray) -> None:
    data[-5] ^= 1


def _flip_prelude(data: bytearray) -> None:
    data[3] ^= 1


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="garbage"),
        pytest.param(b"\x00" * 64, id="zeros"),
        pytest.param(_broken(_flip_payload), id="wrong sum"),
        pytest.param(_broken(_flip_prelude), id="wrong sum of lengths"),
        pytest.param(raw.request_frame(0, "ListComponents"), id="operation on stream 0"),
        pytest.param(raw.request_frame(-1, "ListComponents"), id="negative stream"),
        pytest.param(raw.request_frame(1, None), id="no operation"),
        pytest.param(raw.connect_frame(TOKEN), id="second CONNECT"),
        pytest.param(framing.encode(raw.reserved(2, 0, 1)), id="PING on a stream"),
        pytest.param(framing.encode(raw.reserved(5, 1, 0)), id="CONNECT_ACK"),
        pytest.param(framing.encode(raw.reserved(99, 0, 0)), id="unknown type"),
        pytest.param(framing.encode(raw.reserved(0, 0, 1)[:2]), id="no stream"),
        pytest.param(framing.encode([framing.string(":message-type", "0")]), id="type is text"),
        pytest.param(framing.encode([]), id="no headers"),
    ],
)
def test_protocol_error(hasty: ipc_host.RunningServer, frame: bytes) -> None:
    """What the protocol does not allow is answered by PROTOCOL_ERROR, then closed."""
    with raw.RawClient(hasty.path) as client:
        client.shake_hands(TOKEN).send(frame)
        answer = client.receive()
        assert answer.get(":message-type") == PROTOCOL_ERROR
        assert answer.get(":stream-id") == 0
        assert raw.content(answer)["message"]
        assert client.is_closed()


def test_first_message_must_be_connect(hasty: ipc_host.RunningServer) -> None:
    """Nothing is served before the handshake."""
    with raw.RawClient(hasty.path) as client:
        client.send(raw.request_frame(1, "ListComponents"))
        assert client.receive().get(":message-type") == PROTOCOL_ERROR
        assert client.is_closed()


def test_silent_client_is_closed(nucleus: ipc_host.MemoryHost, tmp_path: Path) -> None:
    """A client that does not shake hands in time is cut."""
    most = limits.Limits(handshake=0.05)
    with (
        ipc_host.running_server(nucleus, tmp_path / "s", most) as running,
        raw.RawClient(running.path) as client,
    ):
        assert client.is_closed()


def test_ping_is_answered(running: ipc_host.RunningServer) -> None:
    """A PING gets its payload and own headers back."""
    with raw.RawClient(running.path) as client:
        own = framing.string("trace", "7")
        client.shake_hands(TOKEN).send(framing.encode([*raw.reserved(2, 0, 0), own], b"ping"))
        answer = client.receive()
    assert answer.get(":message-type") == rpc.MessageType.PING_RESPONSE
    assert answer.get(":stream-id") == 0
    assert answer.get("trace") == "7"
    assert answer.payload == b"ping"


def test_header_names_ignore_case_and_order(running: ipc_host.RunningServer) -> None:
    """Headers come in any order and case, more than are known, with unknown flag bits."""
    headers = [
        framing.string("OPERATION", "aws.greengrass#GetConfiguration"),
        framing.Header("extra", framing.HeaderType.UUID, __import__("uuid").UUID(int=5)),
        framing.int32(":Stream-Id", 1),
        framing.int32(":MESSAGE-FLAGS", 0x40),
        framing.int32(":message-TYPE", 0),
    ]
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN).send(framing.encode(headers, b"{}"))
        assert raw.shape(client.receive()) == "GetConfigurationResponse"


def test_repeated_headers_keep_their_streams_apart(running: ipc_host.RunningServer) -> None:
    """The same headers on further streams are answered on those streams."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        for stream in (1, 2, 3, 0x0A3A7374, 0x7FFFFFFF):
            assert client.call(stream, "GetConfiguration")[0] == "GetConfigurationResponse"


def test_request_that_ends_its_stream_is_not_served(running: ipc_host.RunningServer) -> None:
    """A first message with TERMINATE_STREAM is ignored."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN).send(raw.request_frame(1, "GetConfiguration", flags=2))
        assert client.call(2, "GetConfiguration")[0] == "GetConfigurationResponse"


def test_messages_on_ended_streams_are_ignored(running: ipc_host.RunningServer) -> None:
    """A message that raced with the end of its stream does no harm."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        assert client.call(1, "SubscribeToTopic", SUBSCRIBE)[0] == "SubscribeToTopicResponse"
        for _ in range(2):
            client.send(raw.request_frame(1, None, flags=2))
        client.send(raw.request_frame(1, "GetConfiguration"))
        assert client.call(2, "PublishToTopic", PUBLISH)[0] == "PublishToTopicResponse"
        assert client.call(3, "GetConfiguration")[0] == "GetConfigurationResponse"


def test_byte_by_byte(running: ipc_host.RunningServer) -> None:
    """Frames may arrive in pieces of any size."""
    with raw.RawClient(running.path) as client:
        for byte in raw.connect_frame(TOKEN) + raw.request_frame(1, "GetConfiguration"):
            client.send(bytes([byte]))
        assert client.receive().get(":message-flags") == 1
        assert raw.shape(client.receive()) == "GetConfigurationResponse"


def test_many_requests_in_one_piece(running: ipc_host.RunningServer) -> None:
    """Requests that arrive together are all answered, in order."""
    frames = [raw.request_frame(stream, "GetConfiguration") for stream in range(1, 101)]
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN).send(b"".join(frames))
        assert [client.receive().get(":stream-id") for _ in frames] == list(range(1, 101))


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("aws.greengrass#VerifyClientDeviceIdentity", "known, without a service"),
        ("aws.greengrass#NoSuchThing", "unknown"),
        ("", "empty"),
    ],
)
def test_unsupported_operation(running: ipc_host.RunningServer, operation: str, name: str) -> None:
    """What nobody serves is a modelled ServiceError (4.6)."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        headers = [*raw.reserved(0, 0, 1), framing.string("operation", operation)]
        client.send(framing.encode(headers, b"{}"))
        answer = client.receive()
    assert raw.shape(answer) == "ServiceError", name
    assert answer.get(":message-flags") == rpc.Flag.TERMINATE_STREAM
    expected = f"Operation {operation} is not supported by Greengrass"
    assert raw.content(answer) == {
        "message": expected,
        "_message": expected,
        "_errorCode": "ServiceError",
        "_service": "aws.greengrass#GreengrassCoreIPC",
    }


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(b"{", "ServiceError", id="no JSON"),
        pytest.param(b'{"state": "\xff"}', "ServiceError", id="no text"),
        pytest.param(b'{"x":' + b"[" * 100_000, "ServiceError", id="deep nesting"),
        pytest.param(b"[]", "InvalidArgumentsError", id="no object"),
        pytest.param(b'{"state": 5}', "InvalidArgumentsError", id="wrong type"),
        pytest.param(b'{"state": null}', "InvalidArgumentsError", id="null"),
        pytest.param(b"", "InvalidArgumentsError", id="empty"),
        pytest.param(b'{"state": "RUNNING", "more": 1}', "UpdateStateResponse", id="more"),
    ],
)
def test_malformed_requests(running: ipc_host.RunningServer, payload: bytes, expected: str) -> None:
    """A request that cannot be read fails alone; the connection goes on."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)
        assert client.call(1, "UpdateState", payload)[0] == expected
        assert client.call(2, "GetConfiguration")[0] == "GetConfigurationResponse"


def test_second_server_is_refused(
    running: ipc_host.RunningServer, nucleus: ipc_host.MemoryHost
) -> None:
    """A second server on the same path fails with a plain error; the first goes on."""
    second = ipc_host.running_server(nucleus, running.path)
    with pytest.raises(listening.ListenError, match="already in use"):
        second.__enter__()
    with raw.RawClient(running.path) as client:
        client.shake_hands(TOKEN)


def test_sdk_learns_that_the_server_ends(nucleus: ipc_host.MemoryHost, tmp_path: Path) -> None:
    """When the server ends, streams are closed and later calls fail."""
    with ipc_host.running_server(nucleus, tmp_path / "ipc.socket") as running:
        client = sdk.V2(running.path, TOKEN)
        stream = client.subscribe("subscribe_to_topic", topic="a/b")
    stream.ended.get(timeout=10)
    with pytest.raises(ConnectionClosedError):
        client.call("get_configuration")


def test_disconnect_cuts_one_principal(running: ipc_host.RunningServer) -> None:
    """A component whose token is withdrawn loses its connections, others do not."""
    with raw.RawClient(running.path) as gone, raw.RawClient(running.path) as other:
        gone.shake_hands(TOKEN)
        other.shake_hands(f"token-of-{conftest.OTHER}")
        running.do(running.server.disconnect, conftest.COMPONENT)
        assert gone.is_closed()
        assert other.call(1, "GetConfiguration")[0] == "GetConfigurationResponse"


def test_events_follow_the_first_response(connect: sdk.Connect) -> None:
    """Events never come before the response that starts the stream."""
    publisher, subscriber = connect(conftest.OTHER), connect()
    results: queue.Queue[Any] = queue.Queue()
    for _ in range(20):
        publisher.call("publish_to_topic", topic="a/b", publish_message=sdk.json_message({}))
        stream = subscriber.subscribe("subscribe_to_topic", topic="a/b")
        publisher.call("publish_to_topic", topic="a/b", publish_message=sdk.json_message({}))
        results.put(stream.next())
        assert stream.errors.empty()
        stream.end()
