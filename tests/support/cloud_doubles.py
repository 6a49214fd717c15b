"""Small stand-ins for the parts of the local cloud, each for the tests of the others."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from verge.cloud import errors, ports

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
        self.aliases: dict[str, ports.RoleAlias] = {}
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

    def role_alias(self, alias: str) -> ports.RoleAlias | None:
        """The role behind a role alias."""
        return self.aliases.get(alias)

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call back after every change."""
        self._listeners.append(changed)

    def _above(self, group: str) -> tuple[str, ...]:
        parent = self.parents.get(group)
        return () if parent is None else (*self._above(parent), parent)


class Events:
    """`ports.Events` in memory; what was said is kept in `sent`."""

    def __init__(self) -> None:
        self.sent: list[ports.Event] = []

    def put(self, event: ports.Event) -> None:
        """Keep an event."""
        self.sent.append(event)


class Bus:
    """`ports.Bus` in memory; what the cloud publishes is kept in `sent`."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self._handlers: list[tuple[str, ports.Handler]] = []
        self._connected: list[Callable[[], None]] = []

    def publish(self, topic: str, payload: ports.Document | bytes, *, qos: int = 1) -> None:
        """Keep a message; documents as a device would read them."""
        as_sent = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        document = payload if isinstance(payload, bytes) else json.loads(as_sent)
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


class Objects:
    """`ports.Objects` in memory."""

    def __init__(self) -> None:
        self.contents: dict[tuple[str, str], bytes] = {}

    def put(self, bucket: str, key: str, content: bytes) -> str:
        """Store an object and return its URI."""
        self.contents[bucket, key] = content
        return f"s3://{bucket}/{key}"

    def describe(self, bucket: str, key: str) -> ports.StoredObject:
        """Return what is known of an object."""
        content = self._content(bucket, key)
        return ports.StoredObject(bucket, key, len(content), hashlib.md5(content).hexdigest())  # noqa: S324

    def open(self, bucket: str, key: str) -> BinaryIO:
        """Open an object for reading."""
        return io.BytesIO(self._content(bucket, key))

    def sha256(self, bucket: str, key: str) -> bytes:
        """Return the digest of an object's bytes."""
        return hashlib.sha256(self._content(bucket, key)).digest()

    def presigned_url(self, bucket: str, key: str, *, host: str, seconds: int) -> str:
        """Return a URL that says what it would read."""
        self._content(bucket, key)
        return f"{host}/{bucket}/{key}?X-Amz-Expires={seconds}"

    def _content(self, bucket: str, key: str) -> bytes:
        if (bucket, key) not in self.contents:
            raise errors.NotFoundError(f"cannot find s3://{bucket}/{key}")
        return self.contents[bucket, key]


class Jobs:
    """`ports.Jobs` that keeps what it was asked for; devices' steps are told by `step`."""

    def __init__(self) -> None:
        self.created: dict[str, ports.NewJob] = {}
        self.canceled: list[str] = []
        self.executions: dict[tuple[str, str], ports.ExecutionStatus] = {}
        self._listeners: list[Callable[[ports.ExecutionStatus], None]] = []

    def create(self, job: ports.NewJob) -> None:
        """Keep a job."""
        assert job.id not in self.created
        self.created[job.id] = job

    def cancel(self, job_id: str) -> None:
        """Cancel a job."""
        self.status(job_id)
        self.canceled.append(job_id)

    def step(self, job_id: str, thing: str, status: str, at: float = 0.0, **details: str) -> None:
        """Say how far a job is on a thing; underscores in names stand for hyphens."""
        told = {name.replace("_", "-"): value for name, value in details.items()}
        execution = ports.ExecutionStatus(
            job_id=job_id, thing=thing, status=status, details=told, queued_at=at, updated_at=at
        )
        self.executions[job_id, thing] = execution
        for listener in self._listeners:
            listener(execution)

    def executions_of_job(self, job_id: str) -> list[ports.ExecutionStatus]:
        """Return the executions of a job."""
        return [each for (job, _), each in self.executions.items() if job == job_id]

    def executions_of_thing(self, thing: str) -> list[ports.ExecutionStatus]:
        """Return the executions for a thing."""
        return [each for (_, of), each in self.executions.items() if of == thing]

    def status(self, job_id: str) -> str:
        """Return the status of a job."""
        if job_id not in self.created:
            raise errors.NotFoundError(f"cannot find job {job_id}")
        return "CANCELED" if job_id in self.canceled else "IN_PROGRESS"

    def on_execution(self, changed: Callable[[ports.ExecutionStatus], None]) -> None:
        """Call back in `step`."""
        self._listeners.append(changed)


class Shadows:
    """`ports.Shadows` that keeps states; what devices report comes by `update` too."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str | None], ports.Document] = {}
        self._listeners: list[Callable[[str, str | None, ports.Document], None]] = []

    def update(self, thing: str, name: str | None, state: ports.Document) -> None:
        """Merge the top level of `desired` and `reported`."""
        known = self.states.setdefault((thing, name), {})
        for side, values in state.items():
            known.setdefault(side, {}).update(values)
        for listener in self._listeners:
            listener(thing, name, {"state": known, "version": 1})

    def get(self, thing: str, name: str | None) -> ports.Document | None:
        """Return a shadow."""
        state = self.states.get((thing, name))
        return None if state is None else {"state": state, "version": 1}

    def on_update(self, changed: Callable[[str, str | None, ports.Document], None]) -> None:
        """Call back in `update`."""
        self._listeners.append(changed)
