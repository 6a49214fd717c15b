"""The nucleus over its IPC socket, as a component uses it (Greengrass contract 4.8).

Every call waits at most `CALL_SECONDS` for its answer. Callbacks run on the connection's own
thread, in the order of the messages: they must return at once and must not call back into
this class, so hand what they bring to a queue.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from typing import TYPE_CHECKING, Any

from edge_ipc import connection, documents, framing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CALL_SECONDS = 10.0
"""Longer than any nucleus takes to answer, shorter than an operator takes to worry."""

_SOCKET = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
_TOKEN = "SVCUID"  # noqa: S105 - the name of the variable, not what it holds

_UNSUPPORTED = "not supported"
"""Part of the text by which a nucleus refuses an operation it does not have (contract 4.6)."""

_NOT_ON_LITE = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH"
"""Lite sets this name with `_FOR_COMPONENT` only; other nuclei set both (contract 2.9)."""

LITE_BYTES = 7200
"""What a document may have on Lite, which ends the connection at a larger one."""

_AT_LEAST_ONCE = "1"


class NucleusError(Exception):
    """The nucleus did not do what it was asked; `operation` and `reason` say what and why."""

    def __init__(self, operation: str, reason: str, *, supported: bool = True) -> None:
        super().__init__(f"cannot {operation}: {reason}")
        self.operation = operation
        self.reason = reason
        self.supported = supported
        """False if the nucleus lacks the operation, so asking again is pointless."""


class Subscription:
    """An open stream of messages."""

    def __init__(self, link: connection.Connection, stream: int) -> None:
        self._link = link
        self._stream = stream

    def close(self) -> None:
        """End the stream; what is under way is dropped."""
        self._link.unsubscribe(self._stream)


class Nucleus:
    """The nucleus as a component sees it."""

    def __init__(self, link: connection.Connection, lost: Callable[[str], None]) -> None:
        self._link = link
        self._lost = lost

    @classmethod
    def connect(cls, lost: Callable[[str], None]) -> Nucleus:
        """Connect with the socket and token of the environment (contract 2.9).

        `lost(reason)` is called if the connection or one of its streams ends unasked. Raises
        NucleusError.
        """
        operation = "connect to the nucleus"

        def tell(reason: str) -> None:
            lost(f"the nucleus closed the IPC connection ({reason})")

        try:
            path, token = os.environ[_SOCKET], os.environ[_TOKEN]
            return cls(connection.Connection(path, token, tell, CALL_SECONDS), lost)
        except KeyError as error:
            reason = f"{error} is not set; start this component through one"
            raise NucleusError(operation, reason) from None
        except connection.LostError as error:
            raise NucleusError(operation, str(error)) from error

    def close(self) -> None:
        """Close the connection; no callback follows."""
        self._link.close()

    def read_configuration(self) -> dict[str, Any]:
        """Return this component's whole configuration."""
        answer = self._call("read the configuration", "GetConfiguration", keyPath=[])
        return dict(answer.get("value") or {})

    def watch_configuration(self, changed: Callable[[], None]) -> Subscription:
        """Call `changed()` for every changed value of this component's configuration."""
        return self._subscribe(
            "watch the configuration",
            "SubscribeToConfigurationUpdate",
            lambda _event: changed(),
            keyPath=[],
        )

    @property
    def message_limit(self) -> int | None:
        """The bytes that a document may have; None where there is no limit to speak of."""
        return LITE_BYTES if _is_lite() else None

    def publish(self, topic: str, document: documents.Document) -> None:
        """Publish a JSON document on a local topic and wait until the nucleus took it.

        Raises NucleusError, for a document beyond the limit without sending it.
        """
        operation = f"publish to the topic {topic}"
        request = _translated(operation, lambda: self._publish_request(operation, topic, document))
        _translated(operation, lambda: self._link.call("PublishToTopic", request))

    def _publish_request(
        self, operation: str, topic: str, document: documents.Document
    ) -> documents.Document:
        """Return a request with a JSON message, or on Lite a binary one that holds it as text.

        Lite takes a JSON message of some thirty values or more and then ends, without a word, every
        subscription that it is due to.
        """
        if _is_lite():
            blob = self._encode(operation, document)
            return {"topic": topic, "publishMessage": {"binaryMessage": {"message": blob}}}
        head = documents.encode({"topic": topic}).removesuffix(b"}")
        message = documents.encode(document)
        return b'%b,"publishMessage":{"jsonMessage":{"message":%b}}}' % (head, message)

    def _encode(self, operation: str, document: documents.Document) -> str:
        """Return a document as a blob within the limit."""
        text = _translated(operation, lambda: documents.encode(document))
        limit = self.message_limit
        if limit is not None and len(text) > limit:
            reason = f"the document has {len(text)} bytes, and this nucleus takes {limit}"
            raise NucleusError(operation, reason)
        return base64.b64encode(text).decode()

    def subscribe(self, topic: str, received: Callable[[Any], None]) -> Subscription:
        """Call `received(document)` for every JSON document on a local topic."""
        return self._subscribe(
            f"subscribe to the topic {topic}",
            "SubscribeToTopic",
            lambda event: received(_document_of(event)),
            topic=topic,
        )

    def publish_to_iot_core(self, topic: str, document: documents.Document) -> None:
        """Hand a JSON document to the nucleus for AWS IoT Core, at least once (QoS 1).

        Raises NucleusError, for a document beyond the limit without sending it.
        """
        operation = f"publish to the IoT Core topic {topic}"
        payload = self._encode(operation, document)
        self._call(
            operation, "PublishToIoTCore", topicName=topic, qos=_AT_LEAST_ONCE, payload=payload
        )

    def report_running(self) -> None:
        """Tell the nucleus that this component does its work (contract 2.3)."""
        self._call("report the state RUNNING", "UpdateState", state="RUNNING")

    def _call(self, operation: str, name: str, **request: Any) -> Any:
        return _translated(operation, lambda: self._link.call(name, request))

    def _subscribe(
        self, operation: str, name: str, event: Callable[[Any], None], **request: Any
    ) -> Subscription:
        def ended() -> None:
            # A stream that ends alone would stay silent for ever, so it counts as a lost link.
            self._lost(f"the nucleus ended a stream: {operation}")

        def start() -> int:
            return self._link.subscribe(name, request, event, ended)

        return Subscription(self._link, _translated(operation, start))


def _translated(operation: str, work: Callable[[], Any]) -> Any:
    """Return what the work returns; its failures become NucleusErrors."""
    try:
        return work()
    except connection.RefusedError as error:
        # An operation the nucleus does not know ends its stream without a model (contract 4.6).
        supported = error.shape is not None and _UNSUPPORTED not in str(error)
        raise NucleusError(operation, str(error), supported=supported) from error
    except (connection.UnansweredError, connection.LostError, framing.FrameError) as error:
        raise NucleusError(operation, str(error)) from error
    except UnicodeEncodeError as error:
        raise NucleusError(operation, f"the document is not valid UTF-8: {error}") from error


def _is_lite() -> bool:
    return _NOT_ON_LITE not in os.environ


def _document_of(event: Mapping[str, Any]) -> Any:
    """Return the JSON document of an event; a binary message may hold one as text."""
    if "jsonMessage" in event:
        return event["jsonMessage"]["message"]
    try:
        return json.loads(base64.b64decode(event["binaryMessage"]["message"], validate=True))
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None
