"""Everything of the nucleus that needs a cloud, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from verge.nucleus import logs, settings
from verge.nucleus.cloud import artifacts, credentials, data_plane, downloads, remote, tls
from verge.nucleus.cloud.errors import CloudError
from verge.nucleus.deployment import device, fleet, groups, history, queue
from verge.nucleus.deployment.documents import Record
from verge.nucleus.iot_core import hub
from verge.nucleus.lifecycle import supervisor
from verge.nucleus.store import state
from verge.nucleus.token_exchange import exchange

if TYPE_CHECKING:
    from verge.nucleus.cloud import link

log = logs.Logger("cloud")


class Agent:
    """The link, the credentials and what deployments ask of the cloud."""

    def __init__(
        self,
        configured: settings.Settings,
        components: supervisor.Supervisor,
        present: device.Device,
        known: groups.Groups,
        clock: Callable[[], float],
    ) -> None:
        self._settings = configured
        self._components = components
        self._device = present
        self._groups = known
        self._clock = clock
        self._link: link.Link | None = None
        self._credentials = credentials.Credentials(configured, clock)
        self._exchange = exchange.Exchange(
            configured, self._credentials, self._may_ask, _fixed_port(present)
        )
        plane = data_plane.DataPlane(configured)
        places = artifacts.Places(configured, plane, self._credentials)
        self.remote = remote.Remote(plane, downloads.Downloader(configured, places))

    def environment(self, installed: state.Installed) -> Mapping[str, str]:
        """Return what a component's environment has because there is a cloud."""
        return self._exchange.environment(installed)

    async def start(self) -> None:
        """Give components credentials from now on."""
        try:
            await self._exchange.start()
        except OSError as error:
            log.error("Token exchange does not serve", reason=error)  # noqa: TRY400 - no defect

    def describe(self) -> str:
        """Return what can be said of the link, in one sentence."""
        return self._link.describe() if self._link else "the link has yet to be made"

    def connect(
        self,
        messages: hub.Hub,
        records: history.History,
        deployments: queue.Deployments,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Keep a link from now on."""
        # Only a device with a cloud pays for the MQTT library, and only once its components run.
        from verge.nucleus.cloud import jobs, link, shadow, status, view

        thing = self._settings.thing_name
        intake = fleet.Intake(records, deployments, self._clock)
        one = self._link = link.Link(self._settings, messages, self._clock)
        by_job = jobs.Jobs(thing, one, intake)
        by_shadow = shadow.Shadow(thing, one, intake)
        shown = view.View(self._components, self._device, self._groups, records)
        reporter = status.Reporter(self._settings, one.publish, shown, self._groups, self._clock)
        for part in (by_job, by_shadow, reporter, _Fresh(self._credentials)):
            one.add(part)
        loop = asyncio.get_running_loop()

        def changed(record: Record) -> None:
            # The transaction that it is part of ends within this round of the loop.
            for listener in (by_job.changed, by_shadow.changed, reporter.changed):
                loop.call_soon(listener, record)

        records.changed = changed
        self._work = tasks.create_task(one.run(), name="link")

    async def stop(self) -> None:
        """Close the link and give no more credentials."""
        self._work.cancel()
        await asyncio.wait([self._work])
        await self._exchange.stop()

    def _may_ask(self, token: str) -> bool:
        name = self._components.owner_of(token) if token else None
        if name is None:
            return False
        return (
            exchange.COMPONENT in self._components.runners[name].definition.installed.dependencies
        )


def create(
    configured: settings.Settings,
    components: supervisor.Supervisor,
    present: device.Device,
    known: groups.Groups,
    clock: Callable[[], float],
) -> Agent | None:
    """Return the agent, or None where what is configured cannot work; the log says why."""
    missing = configured.cloud.missing
    if not configured.thing_name:
        missing = ["system.thingName", *missing]
    if missing:
        log.error("No link: settings are missing", missing=", ".join(missing))
        return None
    try:
        tls.device_context(configured)
    except CloudError as error:
        # The certificate may come while the nucleus runs; every attempt reads it anew.
        log.error("No link yet", reason=error)  # noqa: TRY400 - no defect
    return Agent(configured, components, present, known, clock)


def _fixed_port(present: device.Device) -> int:
    """Return the port that a deployment fixed for the token exchange, 0 for a free one."""
    try:
        return int(present.configuration.get(exchange.COMPONENT, ["port"]))
    except (KeyError, TypeError, ValueError):
        return 0


class _Fresh:
    """Forgets errors of the credentials provider, which a new link may have ended."""

    def __init__(self, given: credentials.Credentials) -> None:
        self._credentials = given

    async def linked(self) -> None:
        self._credentials.forget()
