"""Messages to and from AWS IoT Core (Greengrass contract 4.8, 4.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from verge.nucleus.iot_core import messages, spool, topics
from verge.nucleus.ipc import authorization, dispatch, errors, rpc

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from verge.nucleus.ipc import host, streams

Qos = Literal["0", "1"]
Checked = TypeVar("Checked", str, spool.Message)


class PublishToIoTCore(msgspec.Struct, rename="camel"):
    """The request of PublishToIoTCore."""

    topic_name: str | None = None
    qos: Qos | None = None
    payload: bytes | None = None
    retain: bool | None = None
    user_properties: list[spool.UserProperty] | None = None
    message_expiry_interval_seconds: int | None = None
    correlation_data: bytes | None = None
    response_topic: str | None = None
    payload_format: Literal["0", "1"] | None = None
    content_type: str | None = None


class SubscribeToIoTCore(msgspec.Struct, rename="camel"):
    """The request of SubscribeToIoTCore."""

    topic_name: str | None = None
    qos: Qos | None = None


class IoTCoreService:
    """The proxy of components to AWS IoT Core."""

    def __init__(self, iot_core: host.IoTCore, authorizer: authorization.Authorizer) -> None:
        self._iot_core = iot_core
        self._authorizer = authorizer

    def operations(self) -> Iterator[dispatch.Operation]:
        """Yield the operations served here."""
        name = rpc.NAMESPACE
        yield dispatch.Unary(f"{name}PublishToIoTCore", PublishToIoTCore, self.publish)
        yield dispatch.Streaming(
            f"{name}SubscribeToIoTCore", SubscribeToIoTCore, "IoTCoreMessage", self.subscribe
        )
        yield dispatch.Streaming(
            f"{name}SubscribeToIoTCoreConnectionStatus",
            dispatch.Nothing,
            "IoTCoreConnectionStatusEvent",
            self.watch,
        )

    def publish(
        self, call: dispatch.Call, request: PublishToIoTCore
    ) -> Coroutine[Any, Any, dispatch.Fields]:
        """Queue a message; success means that it is on disk, not that it was delivered."""
        self._allow(call, request.topic_name)
        topic: str = errors.required("topicName", request.topic_name)
        payload: bytes = errors.required("payload", request.payload)
        qos = errors.required("qos", request.qos)
        message = spool.Message(
            topic_name=topic,
            payload=payload,
            retain=bool(request.retain),
            user_properties=request.user_properties or [],
            message_expiry_interval_seconds=request.message_expiry_interval_seconds,
            correlation_data=request.correlation_data,
            response_topic=request.response_topic,
            payload_format=request.payload_format,
            content_type=request.content_type,
        )
        _check(messages.check, message)
        return self._queue(message, int(qos))

    async def _queue(self, message: spool.Message, qos: int) -> None:
        try:
            await self._iot_core.publish(message, qos)
        except spool.SpoolFullError as error:
            raise errors.service_error(str(error)) from error

    def subscribe(
        self, call: dispatch.Call, request: SubscribeToIoTCore, stream: streams.Stream
    ) -> Callable[[], None]:
        """Send what arrives; without a link, the subscription is made as soon as there is one."""
        self._allow(call, request.topic_name)
        topic_filter: str = errors.required("topicName", request.topic_name)
        qos = errors.required("qos", request.qos)
        _check(topics.check_filter, topic_filter)

        def received(message: spool.Message) -> None:
            stream.send(msgspec.json.encode({"message": message}))

        return self._iot_core.subscribe(topic_filter, int(qos), received)

    def watch(
        self, call: dispatch.Call, _request: dispatch.Nothing, stream: streams.Stream
    ) -> Callable[[], None]:
        """Send the present state of the link, then every change; no policy is asked."""

        def changed(connected: bool) -> None:
            status = "CONNECTED" if connected else "DISCONNECTED"
            stream.send(msgspec.json.encode({"connectionStatusEvent": {"status": status}}))

        call.answer()
        changed(self._iot_core.connected)
        return self._iot_core.watch(changed)

    def _allow(self, call: dispatch.Call, topic: str | None) -> None:
        try:
            self._authorizer.check(
                call.principal.name, authorization.MQTT_PROXY, call.operation, topic
            )
        except errors.OperationError as error:
            raise errors.unauthorized("Not Authorized") from error  # classic's words (4.8)


def _check(check: Callable[[Checked], None], what: Checked) -> None:
    try:
        check(what)
    except (messages.MessageError, topics.TopicError) as error:
        raise errors.invalid_arguments(str(error)) from error
