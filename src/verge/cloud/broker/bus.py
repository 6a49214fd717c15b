"""The cloud's own connection to the broker: nothing acknowledged before it has been dealt with."""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from paho.mqtt import client as paho
from paho.mqtt import enums, packettypes, properties, reasoncodes, subscribeoptions

from verge.cloud import ports, precedence
from verge.cloud.broker import backlog, sender, topics

KEEP_ALIVE = 30
FOREVER = 0xFFFFFFFF  # an MQTT 5 session that never expires
MAX_UNFINISHED = 100
"""Messages that the broker may hand over ahead of the handlers; the rest wait in the broker."""
IDLE = 1.0  # without work for so long, nothing can be waiting
STOP_TIMEOUT = 10.0  # for the handler at hand
RECONNECT_PAUSE = (0.1, 2.0)
HANDLER_PAUSES = (0.1, 1.0, 5.0)  # a full disk or a locked database may be so no longer

_log = logging.getLogger(__name__)


class _Subscription(NamedTuple):
    topic_filter: str
    pattern: re.Pattern[str]
    handler: ports.Handler


class Bus:
    """Implements `ports.Bus`. Handlers and callbacks run one after the other in one thread.

    The session at the broker outlives this process: what devices publish meanwhile waits there.
    A message is acknowledged when all its handlers have returned, so it comes again if this
    process dies before. A handler that raises is tried again, then the message is given up.
    """

    def __init__(self, *, client_id: str, backlog: backlog.Backlog) -> None:
        self._backlog = backlog
        self._client = paho.Client(
            callback_api_version=enums.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=paho.MQTTv5,
            transport="unix",
            manual_ack=True,
        )
        self._client.max_queued_messages_set(0)
        self._client.max_inflight_messages_set(MAX_UNFINISHED)
        self._client.reconnect_delay_set(*RECONNECT_PAUSE)  # type: ignore[arg-type]
        self._client.on_connect = self._connected
        self._client.on_message = self._received
        self._client.on_disconnect = self._disconnected
        self._client.on_publish = self._acknowledged
        self._sender = sender.Sender(self._client, MAX_UNFINISHED)
        self._subscriptions: list[_Subscription] = []
        self._callbacks: list[Callable[[], None]] = []
        self._work: queue.SimpleQueue[paho.MQTTMessage | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._online = threading.Event()
        self._worker = threading.Thread(target=self._run, name="bus", daemon=True)

    def start(self, path: str) -> None:
        """Connect to the broker's Unix socket, and again whenever the connection is lost."""
        lasting = properties.Properties(packettypes.PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        lasting.SessionExpiryInterval = FOREVER
        lasting.ReceiveMaximum = MAX_UNFINISHED
        self._client.connect_async(
            path, keepalive=KEEP_ALIVE, clean_start=False, properties=lasting
        )
        self._sender.start()
        self._worker.start()
        self._client.loop_start()

    def stop(self) -> None:
        """Finish the message at hand and disconnect; the others come again next time."""
        self._stopping.set()
        self._work.put(None)
        if self._worker.is_alive():
            self._worker.join(STOP_TIMEOUT)
        self._sender.stop()
        self._client.disconnect()
        self._client.loop_stop()

    def wait_online(self, seconds: float) -> bool:
        """Wait for the first connection; return whether it has been made."""
        return self._online.wait(seconds)

    def publish(self, topic: str, payload: ports.Document | bytes, *, qos: int = 1) -> None:
        """Send; messages keep their order. While the broker is away they wait."""
        content = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        self._sender.send(topic, content, qos)

    def subscribe(self, topic_filter: str, handler: ports.Handler) -> None:
        """Hand over every message that matches, at least once, in order."""
        pattern = topics.pattern(topic_filter)
        self._subscriptions.append(_Subscription(topic_filter, pattern, handler))
        self._backlog.watch(topic_filter)
        if self._client.is_connected():
            self._client.subscribe(*_wanted([topic_filter]))

    def on_connect(self, connected: Callable[[], None]) -> None:
        """Call back whenever the connection to the broker has been made."""
        self._callbacks.append(connected)

    def _connected(
        self,
        client: paho.Client,
        _: Any,
        __: paho.ConnectFlags,
        reason: reasoncodes.ReasonCode,
        ___: properties.Properties | None,
    ) -> None:
        if reason.is_failure:
            _log.warning("Broker refuses the cloud's connection reason=%s", reason)
            return
        filters = list(dict.fromkeys(each.topic_filter for each in self._subscriptions))
        if filters:
            client.subscribe(*_wanted(filters))
        self._sender.connected()
        self._online.set()
        self._work.put(_CONNECTED)

    def _disconnected(self, *_: Any) -> None:
        self._sender.disconnected()

    def _acknowledged(self, _: paho.Client, __: Any, number: int, *___: Any) -> None:
        self._sender.acknowledged(number)

    def _received(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        self._work.put(message)
        precedence.ANSWERS.give_way()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                message = self._work.get(timeout=IDLE)
            except queue.Empty:
                self._backlog.reset()
                continue
            if message is _CONNECTED:
                self._backlog.reset()
                for callback in self._callbacks:
                    self._try(callback, "connection")
            elif message is not None:
                precedence.ANSWERS.give_way()
                self._handle(message)

    def _handle(self, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        for each in self._subscriptions:
            if each.pattern.fullmatch(message.topic):
                self._try(functools.partial(each.handler, message.topic, payload), message.topic)
        self._backlog.done(len(message.topic) + len(payload))
        if not self._stopping.is_set():
            with contextlib.suppress(OSError):
                self._client.ack(message.mid, message.qos)

    def _try(self, work: Callable[[], None], what: str) -> None:
        for pause in (*HANDLER_PAUSES, None):
            try:
                work()
            except Exception:  # noqa: BLE001  # one message must not end the others
                if pause is None:
                    _log.exception("Message given up topic=%s", what)
                    return
                _log.warning("Message failed, tried again topic=%s", what, exc_info=True)
                if self._stopping.wait(pause):
                    return
            else:
                return


_CONNECTED = paho.MQTTMessage()
"""Stands in the queue for a new connection: its callbacks run between messages, in order."""


def _wanted(filters: list[str]) -> tuple[Any, ...]:
    options = subscribeoptions.SubscribeOptions(qos=1)
    return ([(each, options) for each in filters],)
