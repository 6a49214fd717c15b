"""`verge-nucleus pubsub` and `verge-nucleus iotcore`: messages by hand (contract 3.9)."""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

from verge.nucleus.commands import connection

TIMEOUT = 30.0
"""Seconds to wait for an answer."""


def publish(arguments: argparse.Namespace) -> int:
    """Publish a local message: bytes, as `greengrass-cli` does, or JSON."""
    content = _content(arguments.message)
    message: dict[str, Any] = {"binaryMessage": {"message": _blob(content)}}
    if arguments.as_json:
        message = {"jsonMessage": {"message": _parse(content)}}
    return _send(arguments, "PublishToTopic", {"topic": arguments.topic, "publishMessage": message})


def publish_to_cloud(arguments: argparse.Namespace) -> int:
    """Queue a message to AWS IoT Core."""
    fields = {
        "topicName": arguments.topic,
        "qos": arguments.qos,
        "payload": _blob(_content(arguments.message)),
    }
    return _send(arguments, "PublishToIoTCore", fields)


def subscribe(arguments: argparse.Namespace) -> int:
    """Print local messages as they come."""
    # By default a filter with wildcards hears others alone, and `pub` is the same principal.
    request = {"topic": arguments.topic, "receiveMode": "RECEIVE_ALL_MESSAGES"}
    with connection.connect(arguments.root) as nucleus:
        events = nucleus.subscribe("SubscribeToTopic", request)
        return _print(arguments, (_local(event) for event in events))


def subscribe_to_cloud(arguments: argparse.Namespace) -> int:
    """Print messages from AWS IoT Core as they come."""
    request = {"topicName": arguments.topic, "qos": arguments.qos}
    with connection.connect(arguments.root) as nucleus:
        events = nucleus.subscribe("SubscribeToIoTCore", request)
        return _print(arguments, (_from_cloud(event) for event in events))


def _send(arguments: argparse.Namespace, operation: str, fields: dict[str, Any]) -> int:
    with connection.connect(arguments.root) as nucleus:
        nucleus.call(operation, fields, TIMEOUT)
    if arguments.json:
        print(json.dumps({"topic": arguments.topic, "published": True}))
    return 0


def _content(message: str) -> bytes:
    """Return a message, or what the file of that name holds."""
    try:
        if (file := Path(message).expanduser()).is_file():
            return file.read_bytes()
    except (OSError, ValueError, RuntimeError):
        pass  # no name of a file, so it is the message itself
    return message.encode()


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise connection.CommandError(f"cannot read --message as JSON: {error}") from None


def _blob(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _local(event: dict[str, Any]) -> tuple[str, Any]:
    if "jsonMessage" in event:
        message = event["jsonMessage"]
        return message["context"]["topic"], message.get("message")
    message = event["binaryMessage"]
    return message["context"]["topic"], base64.b64decode(message["message"])


def _from_cloud(event: dict[str, Any]) -> tuple[str, Any]:
    message = event["message"]
    return message["topicName"], base64.b64decode(message.get("payload") or "")


def _print(arguments: argparse.Namespace, messages: Generator[tuple[str, Any], None, None]) -> int:
    print(f"* Subscribed to {arguments.topic}", file=sys.stderr, flush=True)
    for topic, message in itertools.islice(messages, arguments.count):
        print(_render(topic, message, as_json=arguments.json), flush=True)
    return 0


def _render(topic: str, message: Any, *, as_json: bool) -> str:
    if not as_json:
        text = message.decode("utf-8", "replace") if isinstance(message, bytes) else None
        return json.dumps(message, ensure_ascii=False) if text is None else text
    if isinstance(message, bytes):
        try:
            return json.dumps({"topic": topic, "message": message.decode()})
        except UnicodeDecodeError:
            return json.dumps({"topic": topic, "base64": _blob(message)})
    return json.dumps({"topic": topic, "message": message})
