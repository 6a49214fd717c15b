"""Local publish and subscribe (Greengrass contract 4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from verge.nucleus.ipc import authorization, dispatch, errors, rpc, streams, topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from verge.nucleus.ipc import limits, principals

PUBLISH = f"{rpc.NAMESPACE}PublishToTopic"
SUBSCRIBE = f"{rpc.NAMESPACE}SubscribeToTopic"

_LEVEL_COST = 64  # bytes that a level takes at least in the tree
_BINARY = b'{"binaryMessage":{"message":'

EventHead = tuple[bytes | msgspec.Raw, ...]
"""The JSON of an event up to its context, in parts that are not copied before it is sent."""

Document = TypeVar("Document", bytes, msgspec.Raw)

ReceiveMode = Literal["RECEIVE_ALL_MESSAGES", "RECEIVE_MESSAGES_FROM_OTHERS"]


class JsonMessage(msgspec.Struct):
    """A JSON document, passed on as it was written."""

    message: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class BinaryMessage(msgspec.Struct):
    """Bytes, base64 on the wire."""

    message: bytes | None = None


class PublishMessage(msgspec.Struct):
    """One of the two."""

    json_message: JsonMessage | None = msgspec.field(name="jsonMessage", default=None)
    binary_message: BinaryMessage | None = msgspec.field(name="binaryMessage", default=None)


class PublishToTopic(msgspec.Struct):
    """The request of PublishToTopic."""

    topic: str | None = None
    publish_message: PublishMessage | None = msgspec.field(name="publishMessage", default=None)


class SubscribeToTopic(msgspec.Struct):
    """The request of SubscribeToTopic."""

    topic: str | None = None
    receive_mode: ReceiveMode | None = msgspec.field(name="receiveMode", default=None)


class Subscription:
    """One stream under one filter."""

    __slots__ = ("from_others", "stream")

    def __init__(self, stream: streams.Stream, *, from_others: bool) -> None:
        self.stream = stream
        self.from_others = from_others


class PubSub:
    """The local topics of the device."""

    def __init__(self, authorizer: authorization.Authorizer, most: limits.Limits) -> None:
        self._authorizer = authorizer
        self._most = most
        self._subscriptions: topics.FilterTree[Subscription] = topics.FilterTree()

    def operations(self) -> Iterator[dispatch.Operation]:
        """Yield the operations served here."""
        yield dispatch.Unary(PUBLISH, PublishToTopic, self.publish)
        yield dispatch.Streaming(
            SUBSCRIBE, SubscribeToTopic, "SubscriptionResponseMessage", self.subscribe
        )

    def publish(self, call: dispatch.Call, request: PublishToTopic) -> None:
        """Answer, then pass the message to whoever subscribed (in this order, contract 4.8)."""
        topic = request.topic
        self._authorizer.check(call.principal.name, authorization.PUBSUB, PUBLISH, topic)
        if topic is None or "+" in topic or "#" in topic or "*" in topic:
            raise errors.invalid_arguments("topic is required and must not contain +, # or *")
        event = _event_head(request.publish_message)
        call.answer()
        self._pass_on(topic, event, call.principal)

    def deliver(self, topic: str, message: bytes) -> None:
        """Pass on a binary message of the nucleus itself."""
        self._pass_on(topic, (_BINARY, msgspec.json.encode(message)), None)

    def _pass_on(
        self,
        topic: str,
        event: EventHead,
        publisher: principals.Principal | None,
    ) -> None:
        subscriptions = self._subscriptions.match(topic)
        if not subscriptions:
            return
        payload = b"".join((*event, b',"context":{"topic":', msgspec.json.encode(topic), b"}}}"))
        for subscription in subscriptions:
            stream = subscription.stream
            if not (subscription.from_others and stream.principal is publisher):
                stream.send(payload)

    def subscribe(
        self, call: dispatch.Call, request: SubscribeToTopic, stream: streams.Stream
    ) -> Callable[[], None]:
        """Pass on what is published from now on."""
        topic_filter = request.topic
        principal = call.principal
        self._authorizer.check(principal.name, authorization.PUBSUB, SUBSCRIBE, topic_filter)
        if not topic_filter:
            raise errors.invalid_arguments("topic is required")
        cost = len(topic_filter) + _LEVEL_COST * (topic_filter.count("/") + 1)
        if principal.filters + cost > self._most.principal_filters:
            raise errors.service_error("too many and too long topic filters")
        if request.receive_mode is None:
            from_others = topics.is_wildcard(topic_filter)
        else:
            from_others = request.receive_mode == "RECEIVE_MESSAGES_FROM_OTHERS"
        subscription = Subscription(stream, from_others=from_others)
        self._subscriptions.add(topic_filter, subscription)
        principal.filters += cost

        def unsubscribe() -> None:
            self._subscriptions.remove(topic_filter, subscription)
            principal.filters -= cost

        return unsubscribe


def _event_head(message: PublishMessage | None) -> EventHead:
    """Return the event's JSON up to its context, in parts."""
    if message is None or (message.json_message is None) is (message.binary_message is None):
        raise errors.invalid_arguments(
            "publishMessage is required, with either jsonMessage or binaryMessage"
        )
    if message.binary_message is not None:
        data = errors.required("binaryMessage.message", message.binary_message.message)
        return _BINARY, _fitting(msgspec.json.encode(data))
    document = message.json_message.message  # type: ignore[union-attr]  # one is not None
    if not len(document):
        raise errors.invalid_arguments("jsonMessage.message is required")
    return b'{"jsonMessage":{"message":', _fitting(document)


def _fitting(document: Document) -> Document:
    if not streams.fits(document):
        raise errors.invalid_arguments("the message is too long for its subscribers")
    return document
