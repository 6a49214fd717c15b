"""A nucleus in memory, as the IPC services see one, and the real server in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verge.nucleus.consent import updates, validation
from verge.nucleus.debug import passwords
from verge.nucleus.iot_core import hub, spool
from verge.nucleus.ipc import host, server
from verge.nucleus.shadows import shadows
from verge.nucleus.store import database, secret_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from verge.nucleus.ipc import limits


class _Leaf:
    def __init__(self, value: Any, timestamp: float) -> None:
        self.value = value
        self.timestamp = timestamp


Tree = dict[str, Any]  # keys as written → Tree or _Leaf


class MemoryConfiguration:
    """A configuration tree per component with a time on every leaf; key case is ignored."""

    def __init__(self) -> None:
        self._trees: dict[str, Tree] = {}
        self._watches: list[tuple[str, list[str], Callable[[str, Sequence[str]], None]]] = []

    def put(self, component: str, value: Mapping[str, Any], timestamp: float = 0.0) -> None:
        """Install a component's configuration, replacing what it had."""
        self._trees[component] = {}
        self._write(component, [], value, timestamp)

    def remove(self, component: str, path: Sequence[str]) -> None:
        """Remove what a RESET removes, telling who watches."""
        *parents, last = path
        node: Any = self._find(component, parents)
        del node[_written(node, last)]
        self._tell(component, list(path))

    def get(self, component: str, path: Sequence[str]) -> Any:
        return _plain(self._find(component, path))

    async def merge(
        self, component: str, path: Sequence[str], value: Mapping[str, Any], timestamp: float
    ) -> None:
        self._find(component, [])
        for leaf in list(_leaves(value, list(path))):
            with contextlib.suppress(KeyError):
                present = self._find(component, leaf)
                if isinstance(present, _Leaf) and present.timestamp > timestamp:
                    raise host.StaleWriteError(f"{'/'.join(leaf)} is newer than {timestamp}")
        for leaf in self._write(component, list(path), value, timestamp):
            self._tell(component, leaf)

    def subscribe(
        self,
        component: str,
        path: Sequence[str],
        changed: Callable[[str, Sequence[str]], None],
    ) -> host.Unsubscribe:
        self._find(component, path)
        watch = (component, [key.lower() for key in path], changed)
        self._watches.append(watch)
        return lambda: self._watches.remove(watch)

    @property
    def watches(self) -> int:
        """How many subscriptions there are."""
        return len(self._watches)

    def _tell(self, component: str, leaf: list[str]) -> None:
        lowered = [key.lower() for key in leaf]
        for of, path, changed in list(self._watches):
            if of == component and lowered[: len(path)] == path:
                changed(component, leaf)

    def _find(self, component: str, path: Sequence[str]) -> Any:
        node: Any = self._trees[component]
        for key in path:
            if isinstance(node, _Leaf):
                raise KeyError(key)
            node = node[_written(node, key)]
        return node

    def _write(
        self, component: str, path: list[str], value: Mapping[str, Any], timestamp: float
    ) -> list[list[str]]:
        changed = []
        for leaf in _leaves(value, path):
            node: Any = self._trees[component]
            for key in leaf[:-1]:
                name = _written(node, key, strict=False)
                if not isinstance(node.get(name), dict):
                    node[name] = {}
                node = node[name]
            name = _written(node, leaf[-1], strict=False)
            before = node.get(name)
            new = _at(value, leaf[len(path) :])
            node[name] = _Leaf(new, timestamp)
            if not isinstance(before, _Leaf) or before.value != new:
                changed.append(leaf)
        return changed


def _written(node: Tree, key: str, *, strict: bool = True) -> str:
    for name in node:
        if name.lower() == key.lower():
            return name
    if strict:
        raise KeyError(key)
    return key


def _leaves(value: Mapping[str, Any], path: list[str]) -> Iterator[list[str]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _leaves(inner, [*path, key])
        else:
            yield [*path, key]


def _at(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value[key]
    return value


def _plain(node: Any) -> Any:
    if isinstance(node, _Leaf):
        return node.value
    return {key: _plain(inner) for key, inner in node.items()}


class MemoryComponents:
    """Components that are a name, a version and a state."""

    def __init__(self, configuration: MemoryConfiguration) -> None:
        self._configuration = configuration
        self.tokens: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.stuck = asyncio.Event()
        """Set: restarting `stuck` ends."""
        self.paused: set[str] = set()
        self.freezes = True
        """Whether the host allows to pause."""

    def component_of_token(self, token: str) -> str | None:
        return self.tokens.get(token)

    def details(self, name: str) -> host.ComponentDetails:
        if name not in self.versions:
            raise host.UnknownComponentError(name)
        return host.ComponentDetails(
            name, self.versions[name], self.states[name], self._configuration.get(name, [])
        )

    def list(self) -> Sequence[host.ComponentDetails]:
        return [self.details(name) for name in sorted(self.versions)]

    def report_state(self, name: str, state: str) -> None:
        self.details(name)
        self.states[name] = state

    async def restart(self, name: str) -> None:
        if name == "stuck":
            await self.stuck.wait()
        if self.details(name).state == "BROKEN":
            raise ValueError(f"cannot restart {name} while BROKEN")
        self.states[name] = "STARTING"

    def pause(self, name: str) -> None:
        if self.details(name).state != "RUNNING" or name in self.paused:
            raise ValueError(f"cannot pause {name}: it is {self.states[name]}")
        if not self.freezes:
            raise host.UnsupportedError(f"cannot pause {name}: the host does not allow it")
        self.paused.add(name)

    def resume(self, name: str) -> None:
        if self.details(name).name not in self.paused:
            raise ValueError(f"cannot resume {name}: it is not paused")
        self.paused.discard(name)

    async def stop(self, name: str) -> None:
        self.details(name)
        await asyncio.sleep(0)
        self.states[name] = "FINISHED"


class MemoryDeployments:
    """Deployments that are kept as they were asked for and never carried out."""

    def __init__(self) -> None:
        self.submitted: dict[str, host.LocalDeployment] = {}
        self.statuses: dict[str, host.DeploymentStatus] = {}

    def submit(self, deployment: host.LocalDeployment) -> str:
        self._check(deployment)
        name = str(uuid.uuid4())
        self.submitted[name] = deployment
        self.statuses[name] = host.DeploymentStatus(name, "QUEUED", time.time())
        return name

    async def plan(self, deployment: host.LocalDeployment) -> Sequence[host.PlannedChange]:
        self._check(deployment)
        return [
            host.PlannedChange(name, "install", None, version)
            for name, version in deployment.roots_to_add.items()
        ]

    def status(self, deployment_id: str) -> host.DeploymentStatus:
        try:
            return self.statuses[deployment_id]
        except KeyError as error:
            raise host.UnknownDeploymentError(deployment_id) from error

    def list(self) -> Sequence[host.DeploymentStatus]:
        return list(reversed(self.statuses.values()))

    def cancel(self, deployment_id: str) -> str:
        self.status(deployment_id)
        return f"Cancel request submitted. Deployment ID: {deployment_id}"

    def _check(self, deployment: host.LocalDeployment) -> None:
        if deployment.recipe_directory == "/no/such":
            raise host.InvalidDeploymentError("recipe_directory", "/no/such does not exist")
        if deployment.artifact_directory == "/no/such":
            raise host.InvalidDeploymentError("artifact_directory", "/no/such does not exist")
        if "" in deployment.roots_to_remove:
            raise host.InvalidDeploymentError("roots_to_remove", "a component has no name")


class MemoryMetrics:
    """Metrics as they came."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, str, str, float]] = []

    def record(self, component: str, name: str, unit: str, value: float) -> None:
        self.recorded.append((component, name, unit, value))


class MemoryHost:
    """A nucleus without processes; what it stores, it stores as the real one does."""

    def __init__(self) -> None:
        self.configuration = MemoryConfiguration()
        self.components = MemoryComponents(self.configuration)
        self.deployments = MemoryDeployments()
        self.validation = validation.Validation()
        self.updates = updates.Updates()
        self.metrics = MemoryMetrics()
        self._directory = contextlib.ExitStack()

    def close(self) -> None:
        """Remove what it has stored; called in the thread of the server."""
        self._directory.close()
        for name, member in vars(type(self)).items():
            if isinstance(member, functools.cached_property):
                self.__dict__.pop(name, None)

    @functools.cached_property
    def directory(self) -> Path:
        """Where it stores things."""
        return Path(self._directory.enter_context(tempfile.TemporaryDirectory(prefix="vg")))

    @functools.cached_property
    def database(self) -> database.Database:
        """A database, opened in the thread that uses it."""
        opened = database.Database(self.directory / "db")
        self._directory.callback(opened.close)
        return opened

    @functools.cached_property
    def shadows(self) -> host.Shadows:
        """Shadows."""
        return shadows.Shadows(self.database)

    @functools.cached_property
    def secrets(self) -> secret_files.SecretFiles:
        """Secrets."""
        return secret_files.SecretFiles(self.directory / "secrets", "eu-west-1")

    @functools.cached_property
    def iot_core(self) -> hub.Hub:
        """The way to AWS IoT Core, without a link until a test makes one."""
        return hub.Hub(spool.Spool(self.database))

    @functools.cached_property
    def debug_passwords(self) -> passwords.DebugPasswords:
        """Passwords of the debug console."""
        return passwords.DebugPasswords(self.database)

    def install(
        self,
        name: str,
        configuration: Mapping[str, Any] | None = None,
        *,
        version: str = "1.0.0",
        state: str = "RUNNING",
    ) -> str:
        """Install a component and return its token."""
        self.configuration.put(name, configuration or {})
        self.components.versions[name] = version
        self.components.states[name] = state
        return self.admit(name)

    def admit(self, name: str) -> str:
        """Return a token for a component or a user of the command line."""
        token = f"token-of-{name}"
        self.components.tokens[token] = name
        return token


def pubsub_policy(*resources: str, operations: Sequence[str] = ("*",)) -> dict[str, Any]:
    """Return a configuration that allows local pub/sub on the resources."""
    policy = {"operations": list(operations), "resources": list(resources)}
    return {"accessControl": {"aws.greengrass.ipc.pubsub": {"policy:1": policy}}}


class RunningServer:
    """The real server in a thread of its own."""

    def __init__(self, nucleus: MemoryHost, path: Path, most: limits.Limits | None) -> None:
        self.path = path
        self.nucleus = nucleus
        self._most = most
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop
        self.server: server.Server
        self._stop: asyncio.Event

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in the server's loop and return what it returns in the end."""

        async def call() -> Any:
            result = function(*args)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(10)

    def start(self) -> None:
        """Return when it listens; raises what kept it from that."""
        self._thread.start()
        self._ready.wait(10)
        if self._failure is not None:
            self._thread.join(10)
            raise self._failure

    def stop(self) -> None:
        """Return when it has ended."""
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        if self._failure is not None:
            raise self._failure

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            async with server.serve(self.nucleus, self.path, most=self._most) as self.server:
                self._ready.set()
                await self._stop.wait()
            self.nucleus.close()
        except BaseException as error:  # noqa: BLE001  # raised again in the test's thread
            self._failure = error
        finally:
            self._ready.set()


@contextlib.contextmanager
def running_server(
    nucleus: MemoryHost, path: Path, most: limits.Limits | None = None
) -> Iterator[RunningServer]:
    """Run the real server at the path within the block."""
    running = RunningServer(nucleus, path, most)
    running.start()
    try:
        yield running
    finally:
        running.stop()
