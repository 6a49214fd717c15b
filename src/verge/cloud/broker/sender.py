"""Messages of the cloud in the order in which they were sent, whatever happens to the broker.

The client library sends again, in order, what was on its way when a connection was lost. What is
published between its reconnecting and that would overtake it, so it waits here.
"""

from __future__ import annotations

import collections
import enum
import logging
import queue
import threading
from typing import NamedTuple

from paho.mqtt import client as paho

from verge.cloud import precedence

STOP_PATIENCE = 2.0
"""Seconds without a sign of the broker after which the rest is given up at the end."""

_log = logging.getLogger(__name__)


class _Message(NamedTuple):
    topic: str
    payload: bytes
    qos: int


class _Event(enum.Enum):
    CONNECTED = enum.auto()
    DISCONNECTED = enum.auto()
    STOP = enum.auto()


class Sender:
    """Hands messages to the client, in a thread of its own; callbacks never wait for it."""

    def __init__(self, client: paho.Client, most: int) -> None:
        """`most` messages may wait for their acknowledgements at a time."""
        self._client = client
        self._most = most
        self._events: queue.SimpleQueue[_Message | _Event | int] = queue.SimpleQueue()
        self._waiting: collections.deque[_Message] = collections.deque()
        self._unfinished: set[int] = set()
        self._connected = False
        self._settled = False
        """Whether nothing from before this connection is on its way any more."""
        self._thread = threading.Thread(target=self._run, name="bus sender", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more than what was given, and that only while the broker takes it at once."""
        self._events.put(_Event.STOP)
        if self._thread.is_alive():
            self._thread.join()

    def send(self, topic: str, payload: bytes, qos: int) -> None:
        """Send a message after all that were given before; never waits."""
        self._events.put(_Message(topic, payload, qos))

    def connected(self) -> None:
        """Note that there is a connection."""
        self._events.put(_Event.CONNECTED)

    def disconnected(self) -> None:
        """Note that there is none."""
        self._events.put(_Event.DISCONNECTED)

    def acknowledged(self, number: int) -> None:
        """Note that the broker has a message, by its packet id."""
        self._events.put(number)

    def _run(self) -> None:
        patience = None
        while patience is None or self._waiting or self._unfinished:
            try:
                event = self._events.get(timeout=patience)
            except queue.Empty:
                return
            if event is _Event.STOP:
                patience = STOP_PATIENCE
            precedence.ANSWERS.give_way()
            self._note(event)
            self._settled = self._connected and (self._settled or not self._unfinished)
            while self._settled and self._waiting and len(self._unfinished) < self._most:
                self._hand_over(self._waiting.popleft())

    def _note(self, event: _Message | _Event | int) -> None:
        if isinstance(event, _Message):
            self._waiting.append(event)
        elif isinstance(event, int):
            self._unfinished.discard(event)
        elif event is not _Event.STOP:
            self._connected = event is _Event.CONNECTED
            self._settled = False

    def _hand_over(self, message: _Message) -> None:
        try:
            info = self._client.publish(message.topic, message.payload, qos=message.qos)
        except ValueError as error:  # a name with wildcards, or an answer to an endless topic
            _log.error("Message dropped topic=%.200s reason=%s", message.topic, error)
            return
        if message.qos:
            self._unfinished.add(info.mid)
