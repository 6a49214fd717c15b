"""Between components and the link to AWS IoT Core, which may be there or not.

Components publish into the spool and subscribe here; the link takes from the spool, asks for
`filters` and hands in what arrives. Subscriptions outlive every loss of the link.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from verge.nucleus.iot_core import spool, topics
from verge.nucleus.ipc import host

Received = Callable[[spool.Message], None]


class Hub:
    """Implements `host.IoTCore`."""

    def __init__(self, messages: spool.Spool) -> None:
        self.spool = messages
        self.filters_changed: Callable[[], None] = lambda: None
        """Called when `filters` has become another."""
        self._connected = False
        self._watchers: dict[object, Callable[[bool], None]] = {}
        self._subscriptions: dict[object, tuple[str, int, Received]] = {}

    # For the components

    @property
    def connected(self) -> bool:
        """Whether the link is up."""
        return self._connected

    async def publish(self, message: spool.Message, qos: int) -> None:
        """Return when the message is queued. Raises SpoolFullError or StoreError."""
        await self.spool.put(message, qos)

    def subscribe(self, topic_filter: str, qos: int, received: Received) -> host.Unsubscribe:
        """Hand over every message that matches from now on."""
        token = object()
        self._subscriptions[token] = (topic_filter, qos, received)
        self.filters_changed()

        def unsubscribe() -> None:
            del self._subscriptions[token]
            self.filters_changed()

        return unsubscribe

    def watch(self, changed: Callable[[bool], None]) -> host.Unsubscribe:
        """Tell of every change of the link."""
        token = object()
        self._watchers[token] = changed

        def unwatch() -> None:
            del self._watchers[token]

        return unwatch

    # For the link

    @property
    def filters(self) -> Mapping[str, int]:
        """What to subscribe to, with the highest QoS that somebody asks for."""
        wanted: dict[str, int] = {}
        for topic_filter, qos, _ in self._subscriptions.values():
            wanted[topic_filter] = max(qos, wanted.get(topic_filter, 0))
        return wanted

    def link_changed(self, *, connected: bool) -> None:
        """Take note that the link has come or gone."""
        if connected is not self._connected:
            self._connected = connected
            for changed in list(self._watchers.values()):
                changed(connected)

    def arrived(self, message: spool.Message) -> None:
        """Pass on a message from the cloud, once to each matching subscription."""
        for topic_filter, _, received in list(self._subscriptions.values()):
            if topics.matches(topic_filter, message.topic_name):
                received(message)
