"""The nucleus: what IPC services, supervisor, deployments and stores are to one another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from verge.nucleus import administrators, logs, settings, telemetry
from verge.nucleus.consent import gate
from verge.nucleus.debug import passwords
from verge.nucleus.deployment import apply, bootstrap, device, history, queue, target
from verge.nucleus.deployment import groups as fleet_groups
from verge.nucleus.iot_core import hub, spool
from verge.nucleus.ipc import host
from verge.nucleus.lifecycle import definition, limits, reaper, runner, states, supervisor
from verge.nucleus.shadows import shadows
from verge.nucleus.store import configuration, database, packages, secret_files, state, tree

if TYPE_CHECKING:
    from verge.nucleus.cloud import agent

log = logs.Logger("nucleus")


class Nucleus:
    """Implements `host.Host`."""

    def __init__(
        self,
        configured: settings.Settings,
        db: database.Database,
        loaded: state.DeviceState,
        tasks: asyncio.TaskGroup,
        clock: Callable[[], float],
    ) -> None:
        self._settings = configured
        self._tasks = tasks
        self.socket = configured.socket or configured.paths.socket
        self._journal = reaper.Journal(configured.paths.process_journal)
        self._leftovers = self._journal.leftovers()
        self._journal.begin()
        groups = self._groups = limits.Groups(configured.paths.root)
        around = runner.Surroundings(
            configured, self.socket, self._journal, tasks, clock, groups, self._given
        )
        stored = state.StateStore(db)
        trees = {**loaded.configuration, **own_trees(configured, loaded)}
        self._configuration = configuration.ConfigurationStore(stored, trees)
        self._device = device.Device(db, stored, self._configuration, loaded)
        self._store = packages.PackageStore(configured)
        self._store.clear_staging()
        self.supervisor = supervisor.Supervisor(
            around, lambda defined: self._store.link(defined.installed), target.BUILT_IN
        )
        self.supervisor.take_over(map(definition.define, loaded.components.values()))
        self._administrators = administrators.Administrators(configured)
        self._components = _Components(
            configured,
            self.supervisor,
            self._device,
            self._administrators,
            lambda: self._agent.describe() if self._agent else "",
        )
        records = self._records = history.History(db, configured.paths.deployments)
        known = fleet_groups.Groups(db)
        selector = target.Selector(configured, self._store)
        bootstrapper = bootstrap.Bootstrapper(around, self._store, supervisor.make_token)
        self._consent = gate.Gate()
        self._shadows = shadows.Shadows(db, clock)
        self._secrets = secret_files.SecretFiles(configured.paths.secrets, configured.region)
        self._debug_passwords = passwords.DebugPasswords(db, clock)
        self._iot_core = hub.Hub(spool.Spool(db, configured.spool_limit, clock))
        self._metrics = telemetry.Telemetry(configured.paths.telemetry, configured.logging, clock)
        executor = apply.Executor(
            configured,
            self._device,
            selector,
            self._store,
            records,
            self.supervisor,
            bootstrapper,
            self._consent,
            known,
            clock,
        )
        self._agent = self._make_agent(known, executor, clock)
        self._deployments = queue.Deployments(configured, records, executor, clock)

    def _make_agent(
        self,
        known: fleet_groups.Groups,
        executor: apply.Executor,
        clock: Callable[[], float],
    ) -> agent.Agent | None:
        """Return what talks to the cloud; without an endpoint, nothing tries the network."""
        if not self._settings.cloud.data_endpoint:
            return None
        from verge.nucleus.cloud import agent

        made = agent.create(self._settings, self.supervisor, self._device, known, clock)
        if made:
            executor.preparation.cloud = made.remote
        return made

    def _given(self, installed: state.Installed) -> Mapping[str, str]:
        return self._agent.environment(installed) if self._agent else {}

    @property
    def configuration(self) -> host.Configuration:
        """The configuration of all components."""
        return self._configuration

    @property
    def components(self) -> host.Components:
        """The installed components."""
        return self._components

    @property
    def deployments(self) -> host.Deployments:
        """The local deployments."""
        return self._deployments

    @property
    def validation(self) -> host.Validation:
        """The components that validate configuration."""
        return self._consent.validation

    @property
    def updates(self) -> host.Updates:
        """The components that are told of updates."""
        return self._consent.updates

    @property
    def shadows(self) -> host.Shadows:
        """The shadows that the device keeps."""
        return self._shadows

    @property
    def secrets(self) -> host.Secrets:
        """The secrets that the device keeps."""
        return self._secrets

    @property
    def iot_core(self) -> host.IoTCore:
        """The way to AWS IoT Core."""
        return self._iot_core

    @property
    def metrics(self) -> host.Metrics:
        """Where metrics go."""
        return self._metrics

    @property
    def debug_passwords(self) -> host.DebugPasswords:
        """The passwords of the debug console."""
        return self._debug_passwords

    def admit_administrators(self) -> None:
        """Let the nucleus's own user and the authorized groups administer it (contract 3.9)."""
        self._administrators.write(self.socket)

    @contextlib.asynccontextmanager
    async def console(self) -> AsyncIterator[None]:
        """Serve the debug console within the block, if the settings ask for it."""
        if not self._settings.console_port:
            yield
            return
        from verge.nucleus.debug import console  # only now: few devices have it

        shown = console.Console(
            self._components,
            self._debug_passwords,
            self._settings.paths.logs,
            self._settings.thing_name,
        )
        async with console.serve(self._settings.console_port, shown):
            yield

    async def start(self, restart: Callable[[int], None]) -> None:
        """End what an earlier nucleus left, start the components and work on deployments."""
        self._groups.thaw_all()
        if left := await reaper.end(self._leftovers):
            log.error("Processes of an earlier nucleus do not end", pids=sorted(left))
        if self._agent:
            await self._agent.start()
        self.supervisor.start_all()
        if self._agent:
            self._agent.connect(self._iot_core, self._records, self._deployments, self._tasks)
        self._worker = self._tasks.create_task(self._deployments.work(restart), name="deployments")

    async def stop(self) -> None:
        """Stop working on deployments, then all components; what was queued stays queued."""
        self._worker.cancel()
        await asyncio.wait([self._worker])
        await self.supervisor.stop_all()
        if self._agent:
            await self._agent.stop()
        self._metrics.close()


class _Components:
    """Implements `host.Components`."""

    def __init__(
        self,
        configured: settings.Settings,
        components: supervisor.Supervisor,
        present: device.Device,
        admins: administrators.Administrators,
        describe_link: Callable[[], str],
    ) -> None:
        self._settings = configured
        self._supervisor = components
        self._device = present
        self._administrators = admins
        self._describe_link = describe_link

    def component_of_token(self, token: str) -> str | None:
        """Return whom a token belongs to."""
        return self._administrators.owner_of(token) or self._supervisor.owner_of(token)

    def details(self, name: str) -> host.ComponentDetails:
        """Return one component. Raises UnknownComponentError."""
        if name == settings.NUCLEUS:
            return host.ComponentDetails(
                name,
                settings.VERSION,
                states.State.RUNNING,
                self._settings.configuration,
                status_reason=self._describe_link(),
            )
        one = self._find(name)
        return host.ComponentDetails(
            name=name,
            version=one.definition.installed.version,
            state=one.state,
            configuration=tree.plain(self._device.configuration.tree_of(name)),
            status_reason=one.machine.reason,
            groups=self._device.groups_of(name),
        )

    def list(self) -> Sequence[host.ComponentDetails]:
        """Return all components, in name order."""
        return [self.details(n) for n in sorted([settings.NUCLEUS, *self._supervisor.runners])]

    def report_state(self, name: str, state: str) -> None:
        """Take a state that the component reports of itself."""
        self._find(name).machine.reported(states.State(state))

    async def restart(self, name: str) -> None:
        """Restart a component and wait until it is at work or has failed."""
        one = self._restartable(name)
        if one.leaving:
            raise ValueError(f"cannot restart {name}: it is being removed")
        one.machine.restart()

    async def stop(self, name: str) -> None:
        """Stop a component and wait until it has stopped."""
        one = self._restartable(name)
        one.machine.stop()
        await self._supervisor.until(lambda: one.machine.at_rest or one.machine.wanted)

    def pause(self, name: str) -> None:
        """Freeze a component."""
        one = self._restartable(name)
        if one.state is not states.State.RUNNING or one.paused:
            raise ValueError(
                f"cannot pause {name}: it is {'paused already' if one.paused else one.state}"
            )
        try:
            one.pause()
        except limits.GroupsError as error:
            raise host.UnsupportedError(f"cannot pause {name}: {error}") from error

    def resume(self, name: str) -> None:
        """Let a frozen component go on."""
        one = self._restartable(name)
        if not one.paused:
            raise ValueError(f"cannot resume {name}: it is not paused")
        one.resume()

    def _restartable(self, name: str) -> runner.Runner:
        if name in target.BUILT_IN:
            raise ValueError(f"cannot stop or restart {name}: it is part of the nucleus")
        return self._find(name)

    def _find(self, name: str) -> runner.Runner:
        try:
            return self._supervisor.runners[name]
        except KeyError:
            raise host.UnknownComponentError(name) from None


def own_trees(configured: settings.Settings, loaded: state.DeviceState) -> Mapping[str, tree.Tree]:
    """Return the nucleus's own configuration: what deployments wrote, then what the file says."""
    written = {name: tree.written(loaded.configuration.get(name, {})) for name in settings.OWN}
    return {
        name: tree.fill(one, configured.defaults.get(name, {})) for name, one in written.items()
    }
