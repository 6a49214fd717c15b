"""Deployments as clients see them, carried out one after the other."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence

from verge.nucleus import errors, logs, settings
from verge.nucleus.deployment import apply, bootstrap, documents, failures, history
from verge.nucleus.deployment.documents import Detail, Phase, Record, Status
from verge.nucleus.ipc import host

log = logs.Logger("deployment")

FINISHED_MESSAGE = "Cancellation request is not processed because deployment is already finished"


class Deployments:
    """Implements `host.Deployments`. An accepted deployment is on disk before it has an id."""

    def __init__(
        self,
        configured: settings.Settings,
        records: history.History,
        executor: apply.Executor,
        clock: Callable[[], float],
    ) -> None:
        self._settings = configured
        self._records = records
        self._executor = executor
        self._clock = clock
        self._arrived = asyncio.Event()

    def submit(self, deployment: host.LocalDeployment) -> str:
        """Queue a deployment durably and return its id. Raises InvalidDeploymentError."""
        documents.check(deployment, self._settings.paths)
        record = Record(id=str(uuid.uuid4()), created=self._clock(), request=deployment)
        self.add(record)
        return record.id

    def add(self, record: Record) -> None:
        """Queue a deployment; on return it is on disk."""
        self._records.add(record)
        log.info("Deployment queued", deployment=record.id, group=record.origin)
        self._arrived.set()

    async def plan(self, deployment: host.LocalDeployment) -> Sequence[host.PlannedChange]:
        """Return what a deployment would change. Raises InvalidDeploymentError."""
        documents.check(deployment, self._settings.paths)
        try:
            return await self._executor.changes(deployment)
        except failures.EXPECTED as error:
            raise host.InvalidDeploymentError("deployment", str(error)) from error

    def status(self, deployment_id: str) -> host.DeploymentStatus:
        """Return one deployment. Raises UnknownDeploymentError."""
        return self._find(deployment_id).as_status()

    def list(self) -> Sequence[host.DeploymentStatus]:
        """Return the known deployments, newest first."""
        return [record.as_status() for record in reversed(self._records.records.values())]

    def cancel(self, deployment_id: str) -> str:
        """Ask to cancel a deployment (contract 3.10). Raises UnknownDeploymentError.

        Greengrass honours this only before the configuration is applied. Here a deployment that
        waits for its components' health is given up too, so a stuck one holds up nobody.
        """
        record = self._find(deployment_id)
        phase = self._records.phases[deployment_id]
        if phase is Phase.DONE:
            return FINISHED_MESSAGE
        if phase is Phase.QUEUED:
            record.status = Status.CANCELED
            self._records.save(record, Phase.DONE)
        else:
            self._executor.cancel(record)
        return f"Cancel request submitted. Deployment ID: {deployment_id}"

    def _find(self, deployment_id: str) -> Record:
        try:
            return self._records.records[deployment_id]
        except KeyError:
            raise host.UnknownDeploymentError(deployment_id) from None

    async def work(self, restart: Callable[[int], None]) -> None:
        """Carry out what is queued, for ever. No failure of one holds up the next."""
        while True:
            self._arrived.clear()
            for record in self._records.waiting():
                if self._records.phases[record.id] is Phase.DONE:
                    continue  # cancelled while an earlier one was at work
                await self._carry_out(record)
                if self._executor.wish is not bootstrap.Wish.NOTHING:
                    restart(self._executor.wish)
                    return
            if not self._records.waiting():
                await self._arrived.wait()

    async def _carry_out(self, record: Record) -> None:
        try:
            await self._executor.run(record)
        except Exception as error:  # noqa: BLE001 - a defect must not hold up later deployments
            log.defect("Deployment ended by a defect of the nucleus", error, deployment=record.id)
            untouched = self._records.phases[record.id] in {
                Phase.QUEUED,
                Phase.PREPARING,
                Phase.BOOTSTRAPPING,
            }
            record.status = Status.FAILED
            record.detail = Detail.NO_STATE_CHANGE if untouched else Detail.UNABLE_TO_ROLLBACK
            record.failure_cause = str(failures.explain(error))
            record.error_stack = ["DEPLOYMENT_FAILURE", "NUCLEUS_ERROR"]
            record.error_types = ["NUCLEUS_ERROR"]
            self._record_end(record)

    def _record_end(self, record: Record) -> None:
        try:
            self._records.save(record, Phase.DONE)
        except errors.StoreError as error:
            # It stays unfinished on disk, so the next nucleus takes it up again.
            log.defect("Deployment not recorded", error, deployment=record.id)
            self._records.phases[record.id] = Phase.DONE
