"""What the parts of the local cloud ask of one another.

Threads: HTTP requests are served in threads of their own; messages from the broker are handed over
one after the other in one thread. Everything here may be called from any thread. Handlers commit
what they were told before they return; calls return when what they did is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

import msgspec

Document = dict[str, Any]
"""A JSON object."""

GREENGRASS_NAMESPACE = "aws-gg-deployment"
"""Namespace of the jobs that carry group deployments (contract 5.8)."""


# Things and groups, as the IoT API knows them (implemented in `aws`)


class Group(msgspec.Struct, frozen=True):
    """A thing group; `parents` from the root down, without the group itself."""

    name: str
    arn: str
    parents: tuple[str, ...] = ()


class Device(msgspec.Struct, frozen=True):
    """Who a certificate stands for: the thing it is attached to."""

    thing: str
    certificate_id: str


class RoleAlias(msgspec.Struct, frozen=True):
    """The role (ARN) that devices take by an alias, and for how many seconds."""

    role: str
    seconds: int


class Things(Protocol):
    """The registry of things, groups and certificates."""

    def exists(self, thing: str) -> bool:
        """Whether the thing exists."""

    def group_exists(self, group: str) -> bool:
        """Whether the thing group exists."""

    def groups_of(self, thing: str) -> tuple[Group, ...]:
        """The groups a thing is a direct member of."""

    def things_in(self, group: str) -> tuple[str, ...]:
        """The members of a group and of the groups below it, each once, sorted."""

    def authenticate(self, certificate: bytes) -> Device | None:
        """Return whom an ACTIVE certificate (DER) of this cloud stands for; None for any other."""

    def policies_of(self, device: Device) -> tuple[Document, ...]:
        """The IoT policy documents attached to a certificate or to its thing's groups."""

    def role_alias(self, alias: str) -> RoleAlias | None:
        """What a role alias stands for; None if there is none of that name."""

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call back after every change of things, groups, certificates, policies or aliases."""


# Credentials of devices (implemented in `aws`)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials that a device was given for its role; `expires` in seconds since the epoch."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    role: str
    thing: str
    expires: float


class Sessions(Protocol):
    """The credentials that were handed out and have not expired."""

    def issue(self, *, role: str, thing: str, seconds: int) -> Session:
        """Make credentials for the thing in a role (ARN)."""

    def find(self, access_key_id: str) -> Session | None:
        """Return the session of an access key; None if there is none or it has expired."""


# Events (implemented in `aws`)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a service for the account's default event bus; `kind` is its detail type."""

    source: str
    kind: str
    resources: tuple[str, ...]
    detail: Document


class Events(Protocol):
    """The default event bus of the account."""

    def put(self, event: Event) -> None:
        """Send an event soon, as well as it can be done; never waits."""


# Files (implemented in `objects`)


class StoredObject(msgspec.Struct, frozen=True):
    """An object in a bucket; `size` in bytes."""

    bucket: str
    key: str
    size: int
    etag: str


class Objects(Protocol):
    """S3 as the other parts need it. All raise NotFoundError for what does not exist."""

    def describe(self, bucket: str, key: str) -> StoredObject:
        """Return what is known of an object."""

    def open(self, bucket: str, key: str) -> BinaryIO:
        """Open an object for reading."""

    def sha256(self, bucket: str, key: str) -> bytes:
        """Return the digest of an object's bytes, 32 bytes, computed at most once per object."""

    def presigned_url(self, bucket: str, key: str, *, host: str, seconds: int) -> str:
        """Return a URL that reads the object for some seconds; `host` is "https://NAME:PORT"."""


# MQTT (implemented in `broker`)

Handler = Callable[[str, bytes], None]
"""Takes a topic and a payload."""


class Bus(Protocol):
    """The cloud's own connection to the broker."""

    def publish(self, topic: str, payload: Document | bytes, *, qos: int = 1) -> None:
        """Send; messages keep their order. While the broker is away they wait."""

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """Hand over every message that matches, at least once, in order."""

    def on_connect(self, connected: Callable[[], None]) -> None:
        """Call back whenever the connection to the broker has been made."""


# Jobs and shadows (implemented in `jobs` and `shadows`)


class ExecutionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job is on one thing; times in seconds since the epoch.

    `status` is a word of the jobs service: QUEUED, IN_PROGRESS, SUCCEEDED, FAILED, REJECTED,
    TIMED_OUT, REMOVED or CANCELED.
    """

    job_id: str
    thing: str
    status: str
    details: Mapping[str, str]
    queued_at: float
    updated_at: float


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to create. `targets` are ARNs of things and thing groups.

    `rollout`, `abort` and `timeout` have the shapes of CreateDeployment's `iotJobConfiguration`:
    `jobExecutionsRolloutConfig`, `abortConfig`, `timeoutConfig`.
    """

    id: str
    targets: tuple[str, ...]
    document: Document
    namespace: str | None = None
    continuous: bool = False
    rollout: Document = {}
    abort: Document = {}
    timeout: Document = {}


class Jobs(Protocol):
    """The jobs service.

    Call `create` and `cancel` outside transactions of the database: they ask the registry of
    things, which has a lock of its own.
    """

    def create(self, job: NewJob) -> None:
        """Keep the job; its targets are told soon, also by a later process."""

    def cancel(self, job_id: str) -> None:
        """Cancel the executions that no device has begun; the job takes no further things."""

    def executions_of_job(self, job_id: str) -> list[ExecutionStatus]:
        """Return the executions of a job, by thing."""

    def executions_of_thing(self, thing: str) -> list[ExecutionStatus]:
        """Return the executions for a thing, oldest first."""

    def status(self, job_id: str) -> str:
        """Return IN_PROGRESS, CANCELED (also aborted by its criteria) or COMPLETED."""

    def on_execution(self, changed: Callable[[ExecutionStatus], None]) -> None:
        """Call back whenever an execution has changed."""


class Shadows(Protocol):
    """Device shadows; `name` None is the classic one.

    Call `update` outside transactions of the database, for the same reason.
    """

    def update(self, thing: str, name: str | None, state: Document) -> None:
        """Merge `{"desired": …}` or `{"reported": …}` and tell the device."""

    def get(self, thing: str, name: str | None) -> Document | None:
        """Return the whole document (`state`, `metadata`, `version`, `timestamp`) or None."""

    def on_update(self, changed: Callable[[str, str | None, Document], None]) -> None:
        """Call back after each accepted update with thing, name and the whole document."""


# Greengrass (implemented in `greengrass`)


class CoreDevices(Protocol):
    """What core devices report and may read."""

    def report(self, thing: str, message: Document) -> None:
        """Take in one status message (contract 5.9)."""

    def may_read(self, thing: str, bucket: str, key: str) -> bool | None:
        """Whether an object is an artifact of a component that a deployment brings to the thing.

        None: the object is no component's artifact; the role's policy alone decides.
        """

    def may_resolve(self, thing: str, component: str) -> bool:
        """Whether a deployment that targets the thing, or a dependency of one, names it."""
