"""Small stand-ins for the parts of the local cloud, each for the tests of the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from verge.cloud import ports

REGION = "eu-west-1"
ACCOUNT = "123456789012"


def thing_arn(name: str) -> str:
    """Return the ARN of a thing."""
    return f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{name}"


def group_arn(name: str) -> str:
    """Return the ARN of a thing group."""
    return f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/{name}"


class Registry:
    """`ports.Things` in memory. Groups are added with their parent."""

    def __init__(self) -> None:
        self.things: set[str] = set()
        self.parents: dict[str, str | None] = {}
        self.members: dict[str, set[str]] = {}
        self.policies: dict[str, tuple[ports.Document, ...]] = {}
        self.devices: dict[bytes, ports.Device] = {}
        self.aliases: dict[str, str] = {}
        self._listeners: list[Callable[[], None]] = []

    def add(self, group: str, *things: str, parent: str | None = None) -> None:
        """Make things and a group and put the one into the other."""
        self.parents.setdefault(group, parent)
        self.things |= set(things)
        self.members.setdefault(group, set()).update(things)
        self.changed()

    def remove(self, group: str, thing: str) -> None:
        """Take a thing out of a group."""
        self.members[group].discard(thing)
        self.changed()

    def delete(self, thing: str) -> None:
        """Delete a thing."""
        self.things.discard(thing)
        for members in self.members.values():
            members.discard(thing)
        self.changed()

    def changed(self) -> None:
        """Tell the listeners."""
        for listener in self._listeners:
            listener()

    def exists(self, thing: str) -> bool:
        """Whether the thing exists."""
        return thing in self.things

    def group_exists(self, group: str) -> bool:
        """Whether the thing group exists."""
        return group in self.parents

    def groups_of(self, thing: str) -> tuple[ports.Group, ...]:
        """The groups a thing is a direct member of."""
        return tuple(
            ports.Group(group, group_arn(group), self._above(group))
            for group, members in sorted(self.members.items())
            if thing in members
        )

    def things_in(self, group: str) -> tuple[str, ...]:
        """The members of a group and of the groups below it, each once, sorted."""
        found: set[str] = set()
        for each, members in self.members.items():
            if each == group or group in self._above(each):
                found |= members
        return tuple(sorted(found))

    def authenticate(self, certificate: bytes) -> ports.Device | None:
        """Return whom a certificate stands for."""
        return self.devices.get(certificate)

    def policies_of(self, device: ports.Device) -> tuple[ports.Document, ...]:
        """The IoT policy documents of a device."""
        return self.policies.get(device.thing, ())

    def role_of_alias(self, alias: str) -> str | None:
        """The ARN of the role behind a role alias."""
        return self.aliases.get(alias)

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call back after every change."""
        self._listeners.append(changed)

    def _above(self, group: str) -> tuple[str, ...]:
        parent = self.parents.get(group)
        return () if parent is None else (*self._above(parent), parent)


class Bus:
    """`ports.Bus` in memory; what the cloud publishes is kept in `sent`."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self._handlers: list[tuple[str, ports.Handler]] = []
        self._connected: list[Callable[[], None]] = []

    def publish(self, topic: str, payload: ports.Document | bytes, *, qos: int = 1) -> None:
        """Keep a message; documents as a device would read them."""
        document = payload if isinstance(payload, bytes) else json.loads(json.dumps(payload))
        self.sent.append((topic, document))

    def subscribe(self, topic_filter: str, handler: ports.Handler) -> None:
        """Hand over what `receive` brings."""
        self._handlers.append((topic_filter, handler))

    def on_connect(self, connected: Callable[[], None]) -> None:
        """Call back in `connect`."""
        self._connected.append(connected)

    def connect(self) -> None:
        """Be connected, maybe again."""
        for connected in self._connected:
            connected()

    def receive(self, topic: str, payload: ports.Document | bytes) -> None:
        """Bring a message of a device to the handlers whose filter matches."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        for topic_filter, handler in self._handlers:
            if matches(topic_filter, topic):
                handler(topic, data)

    def take(self, suffix: str = "") -> list[Any]:
        """Return and forget the payloads sent to topics that end so."""
        found = [payload for topic, payload in self.sent if topic.endswith(suffix)]
        self.sent = [each for each in self.sent if not each[0].endswith(suffix)]
        return found


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic matches an MQTT filter."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(given) or level not in ("+", given[at]):
            return False
    return len(wanted) == len(given)


class CoreDevices:
    """`ports.CoreDevices` that only listens."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, ports.Document]] = []

    def report(self, thing: str, message: ports.Document) -> None:
        """Keep a status message."""
        self.reports.append((thing, message))

    def may_read(self, thing: str, bucket: str, key: str) -> bool | None:
        """Know of no component."""
        return None

    def may_resolve(self, thing: str, component: str) -> bool:
        """Allow everything."""
        return True
