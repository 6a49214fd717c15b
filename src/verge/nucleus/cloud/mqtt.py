"""One MQTT 5 connection: paho in a thread of its own, asyncio on this side.

A connection is used once. When it ends, `ended` says why and a new one is made, so nothing of an
old one can confuse the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt import enums, packettypes, properties, subscribeoptions

from verge.nucleus import threads
from verge.nucleus.cloud import errors
from verge.nucleus.iot_core import spool

CONNECT_LIMIT = 20
"""Seconds for name resolution apart: TCP, TLS and the broker's answer."""

CLOSE_LIMIT = 2.0
"""Seconds to send what is on its way when a connection is closed."""

SESSION_EXPIRY = 3600
"""Seconds that the broker keeps messages for a device that is away, as AWS IoT Core does."""

MOST_FILTERS = 8
"""Topic filters in one request that AWS IoT Core takes."""

IN_FLIGHT = 20
"""Messages that are sent before the first of them is acknowledged."""

FAILURE = 0x80
"""The first reason code that stands for a failure."""


@dataclass(frozen=True)
class Address:
    """Where to connect, and as whom."""

    host: str
    port: int
    client_id: str
    keep_alive: float


Arrived = Callable[[spool.Message], None]


class Connection:
    """A connection, made by `connect`."""

    def __init__(self, address: Address, context: ssl.SSLContext, arrived: Arrived) -> None:
        self._address = address
        self._arrived = arrived
        self._loop = asyncio.get_running_loop()
        self._up: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        """The reason for the end."""
        self._waiting: dict[tuple[str, int], asyncio.Future[Sequence[int]]] = {}
        self._early: dict[tuple[str, int], Sequence[int]] = {}
        one = self._client = paho.Client(
            enums.CallbackAPIVersion.VERSION2,
            client_id=address.client_id,
            protocol=enums.MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        one.tls_set_context(context)
        one.connect_timeout = CONNECT_LIMIT
        one.max_inflight_messages_set(IN_FLIGHT)
        one.on_connect = self._on_connect
        one.on_disconnect = self._on_disconnect
        one.on_message = self._on_message
        one.on_publish = self._on_publish
        one.on_subscribe = self._on_subscribe
        one.on_unsubscribe = self._on_unsubscribe

    async def connect(self) -> None:
        """Return when the broker has accepted. Raises UnreachableError."""
        place = f"{self._address.host}:{self._address.port}"
        kept = _properties(packettypes.PacketTypes.CONNECT)
        kept.SessionExpiryInterval = SESSION_EXPIRY

        def dial() -> None:
            self._client.connect(
                self._address.host,
                self._address.port,
                keepalive=max(1, round(self._address.keep_alive)),
                clean_start=False,
                properties=kept,
            )
            self._client.loop_start()

        try:
            await threads.run(dial, name="mqtt connect")
            async with asyncio.timeout(CONNECT_LIMIT):
                waits: set[asyncio.Future[Any]] = {self._up, self.ended}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if self._up.done():
                return
            reason = self.ended.result()
        except TimeoutError:
            reason = f"it does not answer within {CONNECT_LIMIT} s"
        except ssl.SSLCertVerificationError as error:
            reason = f"its certificate is not trusted: {error.verify_message}"
        except (OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
        await self.close()
        raise errors.UnreachableError(f"cannot connect to {place}: {reason}")

    async def close(self) -> None:
        """End the connection; never waits for the other side."""
        with contextlib.suppress(ValueError):
            self._client.disconnect()
        self._end("it was closed here")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT):
                await threads.run(self._client.loop_stop, name="mqtt close")

    # Requests

    async def publish(self, message: spool.Message, qos: int) -> int:
        """Return the reason code of the broker, 0 for QoS 0 once the message is sent.

        Raises UnreachableError if the connection ends before.
        """
        if self.ended.done():
            raise errors.UnreachableError(f"cannot publish: {self.ended.result()}")
        sent = self._client.publish(
            message.topic_name, message.payload, qos, message.retain, _properties_of(message)
        )
        return (await self._answer("publish", sent.mid))[0]

    async def subscribe(self, filters: Mapping[str, int]) -> dict[str, int]:
        """Subscribe; return the reason codes of the filters that were refused.

        Raises UnreachableError if the connection ends before.
        """
        refused: dict[str, int] = {}
        wanted = list(filters.items())
        for start in range(0, len(wanted), MOST_FILTERS):
            some = wanted[start : start + MOST_FILTERS]
            options = [(name, subscribeoptions.SubscribeOptions(qos=qos)) for name, qos in some]
            _, number = self._client.subscribe(options)
            codes = await self._answer("subscribe", number)
            refused |= {
                name: code for (name, _), code in zip(some, codes, strict=True) if code >= FAILURE
            }
        return refused

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Subscribe no longer. Raises UnreachableError if the connection ends before."""
        for start in range(0, len(filters), MOST_FILTERS):
            _, number = self._client.unsubscribe(list(filters[start : start + MOST_FILTERS]))
            await self._answer("unsubscribe", number)

    async def _answer(self, kind: str, number: int | None) -> Sequence[int]:
        if number is None:
            raise errors.UnreachableError(f"cannot {kind}: the connection has ended")
        key = (kind, number)
        if key in self._early:
            return self._early.pop(key)
        if self.ended.done():
            raise errors.UnreachableError(f"cannot {kind}: {self.ended.result()}")
        answer: asyncio.Future[Sequence[int]] = self._loop.create_future()
        self._waiting[key] = answer
        try:
            return await answer
        finally:
            self._waiting.pop(key, None)

    # Events, in paho's thread

    def _tell(self, work: Callable[..., None], *values: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone
            self._loop.call_soon_threadsafe(work, *values)

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        if code.is_failure:
            self._tell(self._end, f"the broker refuses: {code}")
        else:
            self._tell(self._connected)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        self._tell(self._end, f"the connection was lost: {code}")

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        with contextlib.suppress(UnicodeDecodeError):
            self._tell(self._arrived, _message_of(message))

    def _on_publish(self, _client: Any, _data: Any, number: int, code: Any, _more: Any) -> None:
        self._tell(self._answered, ("publish", number), [code.value])

    def _on_subscribe(self, _client: Any, _data: Any, number: int, codes: Any, _more: Any) -> None:
        self._tell(self._answered, ("subscribe", number), [code.value for code in codes])

    def _on_unsubscribe(
        self, _client: Any, _data: Any, number: int, codes: Any, _more: Any
    ) -> None:
        self._tell(self._answered, ("unsubscribe", number), [code.value for code in codes])

    # Events, in the loop

    def _connected(self) -> None:
        if not self._up.done():
            self._up.set_result(None)

    def _end(self, reason: str) -> None:
        if self.ended.done():
            return
        self.ended.set_result(reason)
        waiting, self._waiting = self._waiting, {}
        for (kind, _), answer in waiting.items():
            if not answer.done():
                answer.set_exception(errors.UnreachableError(f"cannot {kind}: {reason}"))

    def _answered(self, key: tuple[str, int], codes: Sequence[int]) -> None:
        answer = self._waiting.get(key)
        if answer is None:
            self._early[key] = codes  # it came before the request was known here
        elif not answer.done():
            answer.set_result(codes)


def _properties(packet: int) -> properties.Properties:
    return properties.Properties(packet)  # type: ignore[no-untyped-call]


def _properties_of(message: spool.Message) -> properties.Properties | None:
    given = _properties(packettypes.PacketTypes.PUBLISH)
    if message.user_properties:
        given.UserProperty = [(p.key, p.value) for p in message.user_properties]
    for name, value in (
        ("MessageExpiryInterval", message.message_expiry_interval_seconds),
        ("CorrelationData", message.correlation_data),
        ("ResponseTopic", message.response_topic),
        ("PayloadFormatIndicator", message.payload_format and int(message.payload_format)),
        ("ContentType", message.content_type),
    ):
        if value is not None:
            setattr(given, name, value)
    empty: bool = given.isEmpty()  # type: ignore[no-untyped-call]
    return None if empty else given


def _message_of(message: paho.MQTTMessage) -> spool.Message:
    given = message.properties
    payload_format = getattr(given, "PayloadFormatIndicator", None)
    return spool.Message(
        topic_name=message.topic,
        payload=bytes(message.payload),
        retain=message.retain,
        user_properties=[
            spool.UserProperty(key, value) for key, value in getattr(given, "UserProperty", ())
        ],
        message_expiry_interval_seconds=getattr(given, "MessageExpiryInterval", None),
        correlation_data=getattr(given, "CorrelationData", None),
        response_topic=getattr(given, "ResponseTopic", None),
        payload_format=None if payload_format is None else ("1" if payload_format else "0"),
        content_type=getattr(given, "ContentType", None),
    )
