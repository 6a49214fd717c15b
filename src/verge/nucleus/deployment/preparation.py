"""Everything a deployment needs before anything of the device changes: choosing and fetching."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence

from verge.nucleus import logs, settings, threads
from verge.nucleus.deployment import (
    admission,
    device,
    failures,
    groups,
    history,
    remote,
    target,
)
from verge.nucleus.deployment.documents import Phase, Record
from verge.nucleus.ipc import host
from verge.nucleus.store import composition, packages

WAITS_AFTER = 10.0
"""Seconds after which a deployment that asks the cloud waits, rather than makes trouble: an end of
the nucleus is then none of its faults."""

log = logs.Logger("deployment")


class Preparation:
    """Prepares one deployment at a time, off the event loop where that takes long."""

    def __init__(
        self,
        configured: settings.Settings,
        present: device.Device,
        selector: target.Selector,
        store: packages.PackageStore,
        records: history.History,
        known: groups.Groups,
        clock: Callable[[], float],
    ) -> None:
        self.cloud: remote.Cloud | None = None
        """Set where there is one to ask."""
        self._settings = configured
        self._device = present
        self._selector = selector
        self._store = store
        self._records = records
        self._groups = known
        self._clock = clock

    async def plan(self, request: host.LocalDeployment) -> target.Selection:
        """Return what a request would come to, touching nothing."""
        device_now, stored = self._device.present, self._records.stored_versions()
        origin, now = target.Origin(cloud=self.cloud), self._clock()
        return await threads.run(
            lambda: self._selector.select(request, device_now, stored, now, origin, planned=True),
            name="plan",
            stop=origin.stop,
        )

    async def select(self, record: Record, stop: threads.Stop) -> target.Selection:
        """Choose all components, asking the cloud where the deployment came from there.

        Raises what `failures.EXPECTED` lists, StaleError among them, or StoppedError.
        """
        cloud, members = self.cloud, None
        with self._patience(record):
            if record.fleet:
                await self._complete(record, stop)
                admission.check(record, self._groups)
                members = await self._members(cloud, stop)
            origin = target.Origin(record.fleet, members, cloud, stop)
            device_now, stored = self._device.present, self._records.stored_versions()
            created = self._clock() if self._settings.processing_time else record.created
            return await threads.run(
                lambda: self._selector.select(record.request, device_now, stored, created, origin),
                name="resolve",
                stop=stop,
            )

    @contextlib.contextmanager
    def _patience(self, record: Record) -> Iterator[None]:
        """Count no attempt of a deployment that waits for the cloud for long."""

        def forget_attempts() -> None:
            record.attempts = 0
            self._records.save(record, Phase.PREPARING)

        waits = asyncio.get_running_loop().call_later(WAITS_AFTER, forget_attempts)
        try:
            yield
        finally:
            waits.cancel()

    async def _complete(self, record: Record, stop: threads.Stop) -> None:
        """Download the document if the cloud sent a mere reference to it."""
        given, cloud = record.fleet, self.cloud
        if not given or not admission.is_reference(given):
            return
        if cloud is None:
            raise failures.DeploymentError(
                "cannot download the deployment document: no cloud is configured any more",
                "NETWORK_ERROR",
                "NETWORK_ERROR",
            )
        content = await threads.run(
            lambda: cloud.document(given.deployment_id, stop), name="document", stop=stop
        )
        admission.replace(record, content, self._clock())
        self._records.save(record, Phase.PREPARING)

    async def _members(
        self, cloud: remote.Cloud | None, stop: threads.Stop
    ) -> frozenset[str] | None:
        """Return the groups that the device is in, as last known where the cloud does not say."""
        if cloud is not None:
            try:
                found = await threads.run(
                    lambda: cloud.thing_groups(stop), name="groups", stop=stop
                )
            except (remote.OfflineError, failures.DeploymentError) as error:
                log.warning("Thing groups as last known", reason=error)
            else:
                self._groups.remember(found)
                return found
        return self._groups.members()

    async def fetch(self, record: Record, selection: target.Selection, stop: threads.Stop) -> None:
        """Put all artifacts into the store. Raises as `select` does."""
        stored = selection.packages
        missing = [(r, p) for r, p in selection.missing if not self._store.has(p.content)]
        if missing and self.cloud is not None:
            stored = await self._download(record, self.cloud, selection, missing, stop)
        former = self._store.bytes_copied
        await threads.run(lambda: self._put(stored, stop), name="store", stop=stop)
        record.bytes_copied += self._store.bytes_copied - former

    async def _download(
        self,
        record: Record,
        cloud: remote.Cloud,
        selection: target.Selection,
        missing: Sequence[target.Missing],
        stop: threads.Stop,
    ) -> list[composition.Package]:
        """Return all packages, those that were missing with their files."""
        # A download goes on where it was, however often the nucleus ends meanwhile.
        attempts, record.attempts = record.attempts, 0
        self._records.save(record, Phase.PREPARING)
        fetched, count = await threads.run(
            lambda: cloud.fetch(missing, self._store.check_space, stop), name="fetch", stop=stop
        )
        record.attempts = attempts
        record.bytes_fetched += count
        self._records.save(record, Phase.PREPARING)
        by_content = {package.content: package for package in fetched}
        return [by_content.get(package.content, package) for package in selection.packages]

    def _put(self, stored: Sequence[composition.Package], stop: threads.Stop) -> None:
        self._store.check_space(stored)
        for package in stored:
            stop.check()
            self._store.put(package)

    def clear(self) -> None:
        """Remove what was downloaded; all of it is in the store."""
        if self.cloud is not None:
            self.cloud.clear()
