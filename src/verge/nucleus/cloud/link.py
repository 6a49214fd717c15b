"""The link to AWS IoT Core: made, kept, lost and made again, without holding anything up."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from verge.nucleus import logs, settings
from verge.nucleus.cloud import backoff, errors, mqtt, pump, tls
from verge.nucleus.errors import StoreError
from verge.nucleus.iot_core import hub, spool

STABLE = 20.0
"""Seconds after which a link counts as good, so that its loss is answered at once again."""

STORE_PAUSE = 30.0
"""Seconds before a part begins again that a full or broken disk has stopped."""

_UNSURE = -1
"""Stands for the QoS of a filter that only a former connection has subscribed to."""

Handler = Callable[[str, dict[str, Any]], None]
"""Takes a topic and the JSON object that was published there."""

log = logs.Logger("link")


class Part(Protocol):
    """Something that works while there is a link."""

    async def linked(self) -> None:
        """Do what a new link asks for; cancelled when it is lost."""


@dataclass
class State:
    """What can be said of the link."""

    connected_since: float | None = None
    """Seconds since the epoch."""
    last_error: str = ""


class Link:
    """One link at a time. Parts listen and publish; components do so through the hub."""

    def __init__(
        self,
        configured: settings.Settings,
        components: hub.Hub,
        clock: Callable[[], float],
        waits: backoff.Backoff | None = None,
    ) -> None:
        self.state = State()
        self._settings = configured
        self._hub = components
        self._clock = clock
        self._waits = waits or backoff.Backoff()
        self._pump = pump.Pump(components.spool)
        self._handlers: dict[str, Handler] = {}
        self._parts: list[Part] = []
        self._connection: mqtt.Connection | None = None
        self._subscribed: dict[str, int] = {}
        """What the broker's session holds for components; it outlives a connection."""
        self._filters_changed = asyncio.Event()
        components.filters_changed = self._filters_changed.set

    @property
    def connected(self) -> bool:
        """Whether the link is up."""
        return self.state.connected_since is not None

    def describe(self) -> str:
        """Return since when there is a link, or why there is none."""
        place = self._settings.cloud.data_endpoint
        if self.state.connected_since is None:
            return f"no link to {place}: {self.state.last_error or 'it is being made'}"
        since = dt.datetime.fromtimestamp(self.state.connected_since, dt.UTC)
        return f"linked to {place} since {since:%Y-%m-%dT%H:%M:%SZ}"

    # For the parts

    def add(self, part: Part) -> None:
        """Tell a part of every link."""
        self._parts.append(part)

    def listen(self, topic: str, handler: Handler) -> None:
        """Hand over what is published on a topic, over every link; call before the first."""
        self._handlers[topic] = handler

    async def listen_now(self, topic: str, handler: Handler) -> None:
        """Hand over what is published on a topic from now on. Raises UnreachableError."""
        self.listen(topic, handler)
        await self._own({topic: 1})

    async def forget(self, topic: str) -> None:
        """Listen no longer. Raises UnreachableError."""
        self._handlers.pop(topic, None)
        await self._alive().unsubscribe([topic])

    async def publish(self, topic: str, document: Any) -> None:
        """Publish JSON with QoS 1; on return the broker has it. Raises CloudError."""
        payload = b"" if document is None else json.dumps(document).encode()
        message = spool.Message(topic_name=topic, payload=payload)
        while (code := await self._alive().publish(message, 1)) >= mqtt.FAILURE:
            if code in pump.REFUSED_FOR_GOOD:
                raise errors.RefusedError(f"cannot publish to {topic}: reason code {code}", code)
            await asyncio.sleep(pump.PAUSE)

    def _alive(self) -> mqtt.Connection:
        if self._connection is None:
            raise errors.UnreachableError("cannot publish: there is no link")
        return self._connection

    # Life

    async def run(self) -> None:
        """Keep a link until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                reason = await self._live()
            except errors.CloudError as error:
                reason = str(error)
            except asyncio.CancelledError:
                self._hub.link_changed(connected=False)
                raise
            except Exception as error:  # noqa: BLE001 - a defect must not end the link for good
                log.defect("Link ended by a defect of the nucleus", error)
                reason = f"internal error: {error!r}"
            if (task := asyncio.current_task()) and task.cancelling():
                # What fails while all of it is cancelled takes the cancellation's place.
                self._hub.link_changed(connected=False)
                raise asyncio.CancelledError
            if self._down(reason) and loop.time() - began > STABLE:
                self._waits.reset()
            await asyncio.sleep(self._waits.wait())

    async def _live(self) -> str:
        """Make a link; return why it ended."""
        cloud = self._settings.cloud
        address = mqtt.Address(
            cloud.data_endpoint, cloud.mqtt_port, self._settings.thing_name, cloud.keep_alive
        )
        context = tls.device_context(self._settings, mqtt=True)
        connection = mqtt.Connection(address, context, self._arrived)
        try:
            await connection.connect()
            self._connection = connection
            self._subscribed = dict.fromkeys(self._subscribed, _UNSURE)
            await self._own(dict.fromkeys(self._handlers, 1))
            await self._follow_filters()
            self._up()
            async with asyncio.TaskGroup() as tasks:
                work = [tasks.create_task(self._keep_filters(), name="filters")]
                work.append(tasks.create_task(self._pump.run(connection), name="pump"))
                work += [tasks.create_task(self._guard(part.linked)) for part in self._parts]
                await asyncio.wait([connection.ended])
                for task in work:
                    task.cancel()
            return connection.ended.result()
        finally:
            self._connection = None
            await connection.close()

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        """Let a part work to its end, and again where the disk failed it."""
        while True:
            try:
                return await work()
            except errors.UnreachableError as error:
                return log.debug("Work over the link ended", reason=error)
            except errors.CloudError as error:
                return log.warning("Work over the link ended; check the IoT policy", reason=error)
            except StoreError as error:
                log.warning("Work over the link fails, tried again", reason=error)
            except ExceptionGroup as group:  # of work that has parts itself
                if group.split((errors.CloudError, StoreError))[1] is not None:
                    raise
                if group.split(StoreError)[0] is None:
                    return log.debug("Work over the link ended", reason=group)
                log.warning("Work over the link fails, tried again", reason=group)
            await asyncio.sleep(STORE_PAUSE)

    def _up(self) -> None:
        self.state.connected_since = self._clock()
        self.state.last_error = ""
        log.info("Link is up", endpoint=self._settings.cloud.data_endpoint)
        self._hub.link_changed(connected=True)

    def _down(self, reason: str) -> bool:
        """Note that there is no link; return whether there was one."""
        was_up, self.state.connected_since = self.connected, None
        if was_up or reason != self.state.last_error:
            log.warning("Link is down", endpoint=self._settings.cloud.data_endpoint, reason=reason)
        self.state.last_error = reason
        self._hub.link_changed(connected=False)
        return was_up

    # Subscriptions

    async def _own(self, filters: dict[str, int]) -> None:
        refused = await self._alive().subscribe(filters)
        for topic, code in refused.items():
            log.error("Subscription refused; check the IoT policy", topic=topic, code=code)

    async def _keep_filters(self) -> None:
        while True:
            await self._filters_changed.wait()
            await self._guard(self._follow_filters)

    async def _follow_filters(self) -> None:
        """Subscribe to what components want, and no longer to what they do not."""
        self._filters_changed.clear()
        wanted, present = dict(self._hub.filters), self._subscribed
        gone = [name for name in present if name not in wanted and name not in self._handlers]
        fresh = {name: qos for name, qos in wanted.items() if present.get(name) != qos}
        self._subscribed = {**present, **wanted}  # until the broker has answered
        if gone:
            await self._alive().unsubscribe(gone)
        if fresh:
            await self._own(fresh)
        self._subscribed = wanted

    def _arrived(self, message: spool.Message) -> None:
        if handler := self._handlers.get(message.topic_name):
            try:
                document = json.loads(message.payload or b"{}")
                if not isinstance(document, dict):
                    raise ValueError("it is no JSON object")  # noqa: TRY301, TRY004
                handler(message.topic_name, document)
            except (ValueError, RecursionError) as error:
                log.warning("Message ignored", topic=message.topic_name, reason=error)
            except Exception as error:  # noqa: BLE001 - one message must not end the link
                log.defect("Message ended by a defect of the nucleus", error)
        self._hub.arrived(message)
