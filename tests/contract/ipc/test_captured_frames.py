"""The captured conversation of contract 4.7, byte by byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.contract.ipc import raw
from tests.support import ipc_host
from verge.nucleus.ipc import errors, framing, rpc

if TYPE_CHECKING:
    from pathlib import Path

NAMES = sorted(path.stem for path in raw.FRAMES.glob("*.hex"))
LENGTHS = [121, 71, 229, 167, 293, 165, 250, 276]


@pytest.mark.parametrize(("name", "length"), list(zip(NAMES, LENGTHS, strict=True)), ids=NAMES)
def test_captured_frame_round_trip(name: str, length: int) -> None:
    """Every captured frame decodes and encodes to itself."""
    data = raw.captured(name)
    message = framing.decode(data)
    assert len(data) == length
    assert framing.encode(message.headers, message.payload) == data


def test_server_answers_the_captured_conversation(tmp_path: Path) -> None:
    """The server sends the captured answers; the event differs in white space only."""
    nucleus = ipc_host.MemoryHost()
    nucleus.install("com.example.Captured", ipc_host.pubsub_policy("my/topic"))
    nucleus.components.tokens["ABCDEF0123456789"] = "com.example.Captured"
    with (
        ipc_host.running_server(nucleus, tmp_path / "ipc.socket") as running,
        raw.RawClient(running.path) as client,
    ):
        for request, answer in (
            ("1_connect", "2_connect_ack"),
            ("3_subscribe_request", "4_subscribe_response"),
            ("5_publish_request", "6_publish_response"),
        ):
            client.send(raw.captured(request))
            assert framing.encode(*client.receive()) == raw.captured(answer)
        event = client.receive()
    expected = framing.decode(raw.captured("7_event"))
    assert event.headers == expected.headers
    assert json.loads(event.payload) == json.loads(expected.payload)


def test_error_has_the_captured_headers_and_fields() -> None:
    """An error looks as captured."""
    expected = framing.decode(raw.captured("8_error"))
    error = errors.unauthorized("no")
    answer = framing.decode(
        rpc.Template(
            rpc.MessageType.APPLICATION_ERROR, rpc.Flag.TERMINATE_STREAM, error.model
        ).message(4, error.body())
    )
    assert answer.headers == expected.headers
    assert json.loads(answer.payload) == json.loads(expected.payload)
