"""Deployments of the cloud on their way into the queue, and back as statuses (contract 5.8)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from verge.nucleus import logs
from verge.nucleus.deployment import device_documents, history, queue
from verge.nucleus.deployment.documents import Channel, Detail, Fleet, Phase, Record, Status
from verge.nucleus.ipc import host

log = logs.Logger("deployment")


class Intake:
    """Queues what the cloud asks for, and knows what it has yet to be told."""

    def __init__(
        self,
        records: history.History,
        deployments: queue.Deployments,
        clock: Callable[[], float],
    ) -> None:
        self._records = records
        self._deployments = deployments
        self._clock = clock

    def take_job(self, job_id: str, queued_at: float, content: Any) -> Record:
        """Queue the document of a job, once for every time that it was queued for the device.

        On return it is on disk. A document that cannot be used is remembered as rejected.
        """
        for record in self.all(Channel.JOB):
            given = record.fleet
            if given and given.job_id == job_id and given.queued_at >= queued_at:
                return record
        return self._take(content, Channel.JOB, job_id=job_id, queued_at=queued_at)

    def take_shadow(self, content: Any) -> Record:
        """Queue the document of a shadow, once for every configuration; older ones go.

        A cloud that was set up anew counts its configurations anew, so their names say too little.
        """
        wanted = content if isinstance(content, dict) else {}
        names = (wanted.get("configurationArn"), wanted.get("deploymentId"))
        for record in self.all(Channel.SHADOW):
            given = record.fleet
            if given and (given.configuration_arn, given.deployment_id) == names:
                return record
        for record in self.waiting(Channel.SHADOW):
            self.cancel(record)
        return self._take(content, Channel.SHADOW)

    def _take(
        self, content: Any, channel: Channel, *, job_id: str = "", queued_at: float = 0.0
    ) -> Record:
        now = self._clock()
        try:
            order = device_documents.parse(content, channel, now)
        except device_documents.MalformedError as error:
            arn = content.get("configurationArn") if isinstance(content, dict) else ""
            given = Fleet(
                channel=channel,
                deployment_id=str(uuid.uuid4()),
                configuration_arn=arn if isinstance(arn, str) else "",
                job_id=job_id,
                queued_at=queued_at,
            )
            return self._reject(error, given, now)
        given = msgspec.structs.replace(order.fleet, job_id=job_id, queued_at=queued_at)
        identity = given.deployment_id
        if identity in self._records.records:
            identity = str(uuid.uuid4())  # one deployment, queued again
        record = Record(id=identity, created=order.created, request=order.request, fleet=given)
        self._deployments.add(record)
        return record

    def _reject(
        self,
        error: device_documents.MalformedError,
        given: Fleet,
        now: float,
    ) -> Record:
        record = Record(
            id=given.deployment_id,
            created=now,
            request=host.LocalDeployment(),
            fleet=given,
            status=Status.REJECTED,
            detail=Detail.REJECTED,
            error_stack=error.error_stack,
            error_types=[error.kind],
            failure_cause=str(error),
        )
        log.error("Deployment rejected", deployment=record.id, job=given.job_id, reason=error)
        with self._records.transaction():
            self._records.add(record)
            self._records.save(record, Phase.DONE)
        return record

    def all(self, channel: Channel) -> list[Record]:
        """Return the deployments that came by a channel, newest first."""
        found = [
            r for r in self._records.records.values() if r.fleet and r.fleet.channel is channel
        ]
        return found[::-1]

    def waiting(self, channel: Channel) -> list[Record]:
        """Return those that have not ended, oldest first."""
        return [r for r in self._records.waiting() if r.fleet and r.fleet.channel is channel]

    def cancel(self, record: Record) -> None:
        """Cancel a deployment that the cloud does not want any more."""
        log.info("Deployment cancelled by the cloud", deployment=record.id)
        self._deployments.cancel(record.id)

    def unreported(self, channel: Channel) -> Sequence[Record]:
        """Return the deployments whose status the cloud has yet to take note of, oldest first."""
        return [record for record in self.all(channel)[::-1] if record.unreported]

    def reported(self, record: Record, status: str) -> None:
        """Note what the cloud knows; on return it is on disk."""
        record.reported = status
        self._records.save(record, self._records.phases[record.id])
