"""What the IPC services ask of the rest of the nucleus.

The services see the nucleus only through these protocols, so they can be tested without it and
the nucleus never imports the IPC package except to start the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from verge.nucleus.iot_core import spool
    from verge.nucleus.store import secret_files

Unsubscribe = Callable[[], None]


class StaleWriteError(Exception):
    """A configuration value on the device is newer than the write that was asked for."""


class UnknownComponentError(LookupError):
    """No component of that name is installed."""


class UnknownDeploymentError(LookupError):
    """No local deployment with that id is known."""


class UnsupportedError(Exception):
    """The host does not allow what was asked for."""


class UnknownRequestError(LookupError):
    """Nobody waits for this answer, or no more."""


class NotSubscribedError(LookupError):
    """An answer of a component that was never asked, because it has not subscribed."""


class InvalidDeploymentError(ValueError):
    """A local deployment request cannot be accepted; `argument` names what is wrong.

    `argument` is "recipe_directory", "artifact_directory" or any other field of LocalDeployment.
    """

    def __init__(self, argument: str, reason: str) -> None:
        super().__init__(reason)
        self.argument = argument


@dataclass(frozen=True)
class ComponentDetails:
    """One installed component as `GetComponentDetails` reports it (contract 4.8)."""

    name: str
    version: str
    state: str
    """One of the eight external states (contract 2.1)."""
    configuration: Mapping[str, Any]
    status_reason: str = ""
    groups: tuple[str, ...] = ()
    """Who asks for it by name: `LOCAL_DEPLOYMENT`, `thing/…`, `thinggroup/…`; none for what others
    depend on."""


@dataclass(frozen=True)
class RunWith:
    """The user and the limits that a deployment asks for; None leaves the present ones."""

    posix_user: str | None = None
    memory_kilobytes: int | None = None
    cpus: float | None = None


@dataclass(frozen=True)
class ConfigurationUpdate:
    """RESET pointers (RFC 6901, in order), then MERGE (contract 3.6)."""

    merge: Mapping[str, Any] = field(default_factory=dict)
    reset: Sequence[str] = ()


@dataclass(frozen=True)
class LocalDeployment:
    """A `CreateLocalDeployment` request (contract 3.10)."""

    group_name: str | None = None
    recipe_directory: str | None = None
    artifact_directory: str | None = None
    roots_to_add: Mapping[str, str] = field(default_factory=dict)
    """Component name → exact version."""
    roots_to_remove: Sequence[str] = ()
    configuration: Mapping[str, ConfigurationUpdate] = field(default_factory=dict)
    run_with: Mapping[str, RunWith] = field(default_factory=dict)
    failure_handling_policy: str = "DO_NOTHING"


@dataclass(frozen=True)
class DeploymentStatus:
    """A local deployment as `GetLocalDeploymentStatus` reports it."""

    deployment_id: str
    status: str
    """QUEUED, IN_PROGRESS, SUCCEEDED, FAILED or CANCELED."""
    created: float
    """Seconds since the epoch."""
    detailed_status: str | None = None
    error_stack: Sequence[str] = ()
    error_types: Sequence[str] = ()
    failure_cause: str | None = None


@dataclass(frozen=True)
class PlannedChange:
    """One difference between what a deployment asks for and what the device has."""

    component: str
    action: str
    """install, upgrade, downgrade, reinstall, configure or remove."""
    before: str | None
    """Version before, or for `configure` the JSON text of the value before."""
    after: str | None
    path: str = ""
    """JSON pointer of the changed value, for `configure`."""


@dataclass(frozen=True)
class DebugPassword:
    """A password for the debug console, and when it ends to be valid (seconds since the epoch)."""

    user: str
    password: str
    expires: float


@dataclass(frozen=True)
class PreUpdate:
    """A deployment is about to change components, and perhaps to restart the nucleus."""

    deployment_id: str
    restarting: bool


@dataclass(frozen=True)
class PostUpdate:
    """A deployment has ended, or was cancelled while it waited."""

    deployment_id: str


class Configuration(Protocol):
    """The configuration tree of all components; key comparison ignores case (contract 1.1)."""

    def get(self, component: str, path: Sequence[str]) -> Any:
        """Return the value at the path (a mapping, list or scalar).

        Raises KeyError if the component or the path does not exist.
        """

    async def merge(
        self, component: str, path: Sequence[str], value: Mapping[str, Any], timestamp: float
    ) -> None:
        """Merge the value into the container at the path (contract 4.8, UpdateConfiguration).

        On return it is durable. Raises StaleWriteError if a value there is newer than the
        timestamp, KeyError for an unknown component.
        """

    def subscribe(
        self,
        component: str,
        path: Sequence[str],
        changed: Callable[[str, Sequence[str]], None],
    ) -> Unsubscribe:
        """Call `changed(component, leaf path)` for every changed leaf at or below the path.

        Raises KeyError if the node does not exist. The empty path always exists for an
        installed component.
        """


class Components(Protocol):
    """The installed components."""

    def component_of_token(self, token: str) -> str | None:
        """Return the component (or `greengrass-cli#user-0`) that this SVCUID belongs to."""

    def details(self, name: str) -> ComponentDetails:
        """Return one component. Raises UnknownComponentError."""

    def list(self) -> Sequence[ComponentDetails]:
        """Return all components, in name order."""

    def report_state(self, name: str, state: str) -> None:
        """Take a state that the component reports of itself: RUNNING or ERRORED (2.3)."""

    async def restart(self, name: str) -> None:
        """Restart a component. Raises UnknownComponentError, or ValueError with the reason."""

    async def stop(self, name: str) -> None:
        """Stop a component until it is restarted or deployed. Raises as `restart` does."""

    def pause(self, name: str) -> None:
        """Freeze a component that is RUNNING.

        Raises UnknownComponentError, ValueError with the reason, or UnsupportedError.
        """

    def resume(self, name: str) -> None:
        """Let a paused component go on. Raises as `pause` does."""


class Deployments(Protocol):
    """Local deployments."""

    def submit(self, deployment: LocalDeployment) -> str:
        """Queue a deployment durably and return its id (a UUID). Raises InvalidDeploymentError."""

    async def plan(self, deployment: LocalDeployment) -> Sequence[PlannedChange]:
        """Return what the deployment would change, touching nothing. Raises as `submit` does."""

    def status(self, deployment_id: str) -> DeploymentStatus:
        """Return one deployment. Raises UnknownDeploymentError."""

    def list(self) -> Sequence[DeploymentStatus]:
        """Return the known deployments, newest first."""

    def cancel(self, deployment_id: str) -> str:
        """Ask to cancel and return the message to show. Raises UnknownDeploymentError."""


class Validation(Protocol):
    """The components that want to see a new configuration before it counts (contract 3.7)."""

    def subscribe(
        self, component: str, ask: Callable[[str, Mapping[str, Any]], None]
    ) -> Unsubscribe:
        """Call `ask(deployment id, whole proposed configuration)` for the component.

        A further subscription of the same component is ignored.
        """

    def report(self, component: str, deployment: str, *, accepted: bool, message: str) -> None:
        """Take the component's answer. Raises UnknownRequestError."""


class Updates(Protocol):
    """The components that want to know of updates and may put them off (contract 3.7)."""

    def subscribe(
        self, component: str, tell: Callable[[PreUpdate | PostUpdate], None]
    ) -> Unsubscribe:
        """Tell the component of every update."""

    def defer(self, component: str, deployment: str, recheck_after: int | None) -> None:
        """Take the component's answer, in milliseconds (0: go ahead).

        Raises NotSubscribedError or UnknownRequestError.
        """


class Shadows(Protocol):
    """The shadows of things that the device keeps (contract 4.8).

    All but `publish` raise `shadows.documents.RequestError`. The classic shadow's name is empty,
    payloads and answers are JSON documents of AWS IoT's shadow service.
    """

    publish: Callable[[str, bytes], None]
    """Told the local topic and the message for everything that happens."""

    def get(self, thing: str, name: str) -> bytes:
        """Return a shadow."""

    async def update(self, thing: str, name: str, payload: bytes) -> bytes:
        """Merge an update in and return what was accepted, once it is durable."""

    async def delete(self, thing: str, name: str) -> bytes:
        """Remove a shadow and return its last version, once it is gone for good."""

    def names(self, thing: str, after: str, most: int) -> Sequence[str]:
        """Return at most so many names of named shadows behind a name, in order."""


class Secrets(Protocol):
    """The secrets that the device keeps."""

    def find(self, wanted: str) -> secret_files.Secret | None:
        """Return a secret by its name or ARN, or None."""


class IoTCore(Protocol):
    """The way to AWS IoT Core, whether there is a link or not."""

    @property
    def connected(self) -> bool:
        """Whether the link is up."""

    async def publish(self, message: spool.Message, qos: int) -> None:
        """Return when the message is queued durably. Raises SpoolFullError or StoreError."""

    def subscribe(
        self, topic_filter: str, qos: int, received: Callable[[spool.Message], None]
    ) -> Unsubscribe:
        """Hand over every message that matches from now on."""

    def watch(self, changed: Callable[[bool], None]) -> Unsubscribe:
        """Tell of every change of the link."""


class Metrics(Protocol):
    """Where metrics of components go."""

    def record(self, component: str, name: str, unit: str, value: float) -> None:
        """Take one value."""


class DebugPasswords(Protocol):
    """The passwords of the debug console."""

    async def create(self) -> DebugPassword:
        """Return a new one, once it is durable."""


class Host(Protocol):
    """The nucleus as its IPC services see it."""

    @property
    def configuration(self) -> Configuration:
        """The configuration of all components."""

    @property
    def components(self) -> Components:
        """The installed components."""

    @property
    def deployments(self) -> Deployments:
        """The local deployments."""

    @property
    def validation(self) -> Validation:
        """The components that validate configuration."""

    @property
    def updates(self) -> Updates:
        """The components that are told of updates."""

    @property
    def shadows(self) -> Shadows:
        """The shadows that the device keeps."""

    @property
    def secrets(self) -> Secrets:
        """The secrets that the device keeps."""

    @property
    def iot_core(self) -> IoTCore:
        """The way to AWS IoT Core."""

    @property
    def metrics(self) -> Metrics:
        """Where metrics go."""

    @property
    def debug_passwords(self) -> DebugPasswords:
        """The passwords of the debug console."""
