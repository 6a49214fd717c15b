"""One connection to the nucleus over its IPC socket (Greengrass contract 4.8).

Every call waits at most `CALL_SECONDS` for its answer. Callbacks run on the connection's own
thread, in the order of the messages: they must return at once and must not call back into
this class, so hand what they bring to a queue.
"""

from __future__ import annotations

import json
import logging
import os
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any

from awsiot import eventstreamrpc, greengrasscoreipc
from awsiot.greengrasscoreipc import clientv2, model

from edge_ipc import documents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

CALL_SECONDS = 10.0
"""Longer than any nucleus takes to answer, shorter than an operator takes to worry."""

_UNSUPPORTED = "not supported"
"""Part of the text by which a nucleus refuses an operation it does not have (contract 4.6)."""

_NOT_ON_LITE = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH"
"""Lite sets this name with `_FOR_COMPONENT` only; other nuclei set both (contract 2.9)."""

LITE_BYTES = 7200
"""What a document may have on Lite, which ends the connection at a larger one."""

_log = logging.getLogger(__name__)
logging.getLogger("awsiot").setLevel(logging.WARNING)  # It tells of every connection.


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

    def __init__(self, operation: Any) -> None:
        self._operation = operation
        self.closed_by_us = False

    def close(self) -> None:
        """End the stream; the callback is not called again once the nucleus agreed."""
        self.closed_by_us = True
        self._operation.close()


class _Lifecycle(eventstreamrpc.LifecycleHandler):  # type: ignore[misc]
    """Tells the owner when the connection ends though nobody closed it."""

    def __init__(self, lost: Callable[[str], None]) -> None:
        self._lost = lost
        self.expected = False

    def on_connect(self) -> None:
        """Do nothing: `connect` returns by itself."""

    def on_error(self, error: Exception) -> bool:
        """Give the connection up on any protocol error."""
        _log.warning("IPC error error=%r", error)
        return True

    def on_disconnect(self, reason: Exception | None) -> None:
        """Report the loss unless `close` caused it."""
        if not self.expected:
            self._lost(f"the nucleus closed the IPC connection ({reason or 'no reason given'})")


class Nucleus:
    """The nucleus as a component sees it."""

    def __init__(self, client: clientv2.GreengrassCoreIPCClientV2, lifecycle: _Lifecycle) -> None:
        self._client = client
        self._lifecycle = lifecycle

    @classmethod
    def connect(cls, lost: Callable[[str], None]) -> Nucleus:
        """Connect with the socket and token of the environment (contract 2.9).

        `lost(reason)` is called once if the connection or one of its streams ends unasked.
        Raises NucleusError.
        """
        lifecycle = _Lifecycle(lost)
        try:
            client = greengrasscoreipc.connect(lifecycle_handler=lifecycle, timeout=CALL_SECONDS)
        except KeyError as error:
            raise NucleusError(
                "connect to the nucleus", f"{error} is not set; start this component through one"
            ) from None
        except (RuntimeError, FutureTimeoutError) as error:
            raise NucleusError("connect to the nucleus", _describe(error)) from error
        # Without an executor the events of a stream keep their order (contract 4.6).
        return cls(clientv2.GreengrassCoreIPCClientV2(client=client, executor=None), lifecycle)

    def close(self) -> None:
        """Close the connection; no callback follows."""
        self._lifecycle.expected = True
        self._client.close()

    def read_configuration(self) -> dict[str, Any]:
        """Return this component's whole configuration."""
        operation = "read the configuration"
        answer = _wait(operation, self._client.get_configuration_async(key_path=[]))
        return dict(answer.value or {})

    def watch_configuration(self, changed: Callable[[], None]) -> Subscription:
        """Call `changed()` for every changed value of this component's configuration."""
        return self._subscribe(
            "watch the configuration",
            self._client.subscribe_to_configuration_update_async,
            lambda _event: changed(),
            key_path=[],
        )

    @property
    def message_limit(self) -> int | None:
        """The bytes that a document may have; None where there is no limit to speak of."""
        return LITE_BYTES if _is_lite() else None

    def publish(self, topic: str, document: Mapping[str, Any]) -> None:
        """Publish a JSON document on a local topic and wait until the nucleus took it.

        Raises NucleusError, for a document beyond the limit without sending it.
        """
        operation = f"publish to the topic {topic}"
        future = self._client.publish_to_topic_async(
            topic=topic, publish_message=self._message_of(operation, document)
        )
        _wait(operation, future)

    def _message_of(self, operation: str, document: Mapping[str, Any]) -> model.PublishMessage:
        """Return a JSON message, or on Lite a binary one that holds the same as text.

        Lite takes a JSON message of some thirty values or more and then ends, without a word, every
        subscription that it is due to.
        """
        if not _is_lite():
            return model.PublishMessage(json_message=model.JsonMessage(message=dict(document)))
        text = documents.encode(document)
        self._check_size(operation, text)
        return model.PublishMessage(binary_message=model.BinaryMessage(message=text))

    def _check_size(self, operation: str, text: bytes) -> None:
        limit = self.message_limit
        if limit is not None and len(text) > limit:
            reason = f"the document has {len(text)} bytes, and this nucleus takes {limit}"
            raise NucleusError(operation, reason)

    def subscribe(self, topic: str, received: Callable[[Any], None]) -> Subscription:
        """Call `received(document)` for every JSON document on a local topic."""

        def deliver(event: model.SubscriptionResponseMessage) -> None:
            received(_document_of(event))

        return self._subscribe(
            f"subscribe to the topic {topic}",
            self._client.subscribe_to_topic_async,
            deliver,
            topic=topic,
        )

    def publish_to_iot_core(self, topic: str, document: Mapping[str, Any]) -> None:
        """Hand a JSON document to the nucleus for AWS IoT Core, at least once (QoS 1).

        Raises NucleusError, for a document beyond the limit without sending it.
        """
        operation = f"publish to the IoT Core topic {topic}"
        text = documents.encode(document)
        self._check_size(operation, text)
        future = self._client.publish_to_iot_core_async(
            topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, payload=text
        )
        _wait(operation, future)

    def report_running(self) -> None:
        """Tell the nucleus that this component does its work (contract 2.3)."""
        future = self._client.update_state_async(state=model.ReportedLifecycleState.RUNNING)
        _wait("report the state RUNNING", future)

    def _subscribe(
        self, operation: str, start: Any, event: Callable[[Any], None], **request: Any
    ) -> Subscription:
        subscription: Subscription | None = None

        def closed() -> None:
            # A stream that ends alone would stay silent for ever, so it counts as a lost link.
            if subscription and not subscription.closed_by_us and not self._lifecycle.expected:
                self._lifecycle._lost(f"the nucleus ended a stream: {operation}")

        def failed(error: Exception) -> bool:
            _log.warning("Stream error operation=%r error=%s", operation, _describe(error))
            return False

        future, stream = start(
            on_stream_event=event, on_stream_error=failed, on_stream_closed=closed, **request
        )
        _wait(operation, future)
        subscription = Subscription(stream)
        return subscription


def _wait(operation: str, future: Future[Any]) -> Any:
    try:
        return future.result(CALL_SECONDS)
    except FutureTimeoutError:
        reason = f"the nucleus did not answer within {CALL_SECONDS:g} s"
        raise NucleusError(operation, reason) from None
    except (eventstreamrpc.StreamClosedError, eventstreamrpc.UnmappedDataError) as error:
        # An operation the nucleus does not know ends its stream without a model (contract 4.6).
        raise NucleusError(operation, _describe(error), supported=False) from error
    except RuntimeError as error:
        reason = _describe(error)
        raise NucleusError(operation, reason, supported=_UNSUPPORTED not in reason) from error


def _describe(error: BaseException) -> str:
    message = getattr(error, "message", None) or str(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _is_lite() -> bool:
    return _NOT_ON_LITE not in os.environ


def _document_of(event: model.SubscriptionResponseMessage) -> Any:
    """Return the JSON document of an event; a binary message may hold one as text."""
    if event.json_message is not None:
        return event.json_message.message
    if event.binary_message is None:
        return None
    try:
        return json.loads(event.binary_message.message)
    except ValueError:
        return None
