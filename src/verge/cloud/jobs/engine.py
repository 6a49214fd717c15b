"""The jobs service put together: rules, time, topics, routes."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from verge.cloud import database, ports
from verge.cloud import settings as configured
from verge.cloud.http import routing
from verge.cloud.jobs import (
    changes,
    control,
    data,
    errors,
    model,
    notices,
    routes,
    schedule,
    service,
    states,
    store,
    targets,
    topics,
    worker,
)

SETTLING = 0.1  # a fleet joins its group thing by thing; one look at the groups serves many


class Engine:
    """Implements `ports.Jobs`; everything it has accepted survives a kill.

    Call no method of it inside a transaction of the database: it asks the registry of things,
    which has a lock of its own.
    """

    def __init__(
        self,
        *,
        database: database.Database,
        things: ports.Things,
        bus: ports.Bus,
        settings: configured.Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store.Store(database)
        self._things = things
        self._bus = bus
        self._clock = clock
        self._service = service.Service(kept=self._store, clock=clock, settled=self._settle)
        self._schedule = schedule.Schedule(service=self._service, things=things, clock=clock)
        self._notices = notices.Notices(kept=self._store, bus=bus, clock=clock)
        self._topics = topics.Topics(service=self._service, bus=bus, clock=clock)
        self._routes = routes.of(
            control.Control(
                service=self._service,
                things=things,
                settings=settings,
                clock=clock,
                create=self._create,
                look_again=self._look_again,
            ),
            data.Data(service=self._service, things=things, clock=clock),
        )
        self._worker = worker.Worker(self.advance, clock=clock, name="jobs")
        self._registry_changed = threading.Event()
        self._connected = threading.Event()
        self._withdrawn: collections.deque[changes.Withdrawn] = collections.deque()
        self._listeners: list[Callable[[ports.ExecutionStatus], None]] = []

    def start(self) -> None:
        """Answer devices, follow the registry and keep time."""
        self.connect()
        self._worker.start()

    def connect(self) -> None:
        """Answer devices and follow the registry; whoever calls `advance` keeps time."""
        self._topics.subscribe()
        self._things.on_change(self._look_again)
        self._bus.on_connect(self._repeat)
        self._registry_changed.set()

    def stop(self) -> None:
        """Keep no more time."""
        self._worker.stop()

    def routes(self) -> Sequence[routing.Route]:
        """Return the routes of the IoT jobs operations and of `iot-jobs-data`."""
        return self._routes

    def advance(self) -> float | None:
        """Do what is due now; return when something is due next."""
        if self._registry_changed.is_set():
            self._registry_changed.clear()
            self._schedule.refresh()
        if self._connected.is_set():
            self._connected.clear()
            self._notices.repeat()
        # First what has timed out: it may abort a job before more things are told of it.
        times = [self._schedule.expire(), self._take_back() or self._schedule.roll_out()]
        return min((each for each in times if each is not None), default=None)

    # ports.Jobs

    def create(self, job: ports.NewJob) -> None:
        """Keep the job; its targets are told soon, some at a time. Raises JobError."""
        now = self._clock()
        self._create(
            model.Job(
                id=job.id,
                targets=job.targets,
                namespace=job.namespace or "",
                continuous=job.continuous,
                created_at=now,
                updated_at=now,
                rollout=job.rollout,
                abort=job.abort,
                timeout=job.timeout,
            ),
            msgspec.json.encode(job.document).decode(),
        )

    def cancel(self, job_id: str) -> None:
        """Cancel the executions that no device has begun. Raises JobError.

        Without effect on a job that has ended.
        """
        if self._service.job(job_id).status == states.IN_PROGRESS:
            self._service.cancel(job_id)

    def executions_of_job(self, job_id: str) -> list[ports.ExecutionStatus]:
        """Return the newest execution of a job for each of its things, by thing."""
        return [each.shown() for each in self._store.executions_of_job(job_id)]

    def executions_of_thing(self, thing: str) -> list[ports.ExecutionStatus]:
        """Return the executions for a thing, oldest first."""
        return [each.shown() for each in self._store.executions_of_thing(thing)]

    def status(self, job_id: str) -> str:
        """Return IN_PROGRESS, CANCELED or COMPLETED. Raises JobError."""
        return self._service.job(job_id).status

    def on_execution(self, changed: Callable[[ports.ExecutionStatus], None]) -> None:
        """Call back whenever an execution has changed, after its device was told."""
        self._listeners.append(changed)

    def _create(self, job: model.Job, document: str) -> None:
        if not job.targets:
            raise errors.refuse(f"cannot create job {job.id}: it has no targets")
        targets.check(job.targets, self._things)
        members = targets.expand(job.targets, self._things)
        # Durable with the things that wait for it; the worker tells them.
        self._service.create(job, document, members)
        # A thing may have joined between the look at the groups and the commit.
        self._look_again()

    def _look_again(self) -> None:
        self._registry_changed.set()
        self._worker.wake(SETTLING)

    def _repeat(self) -> None:
        self._connected.set()
        self._worker.wake()

    def _settle(self, found: changes.Changes) -> None:
        for thing, namespace, listed, head in found.differences():
            self._notices.tell(thing, namespace, listed=listed, head=head)
        for execution in found.executions:
            self._pass_on(execution)
        self._withdrawn.extend(found.withdrawn)
        if found.wakes or found.withdrawn:
            self._worker.wake()

    def _take_back(self) -> float | None:
        """Tell some things what they need not begin any more; return when to go on, if ever.

        What the death of this process leaves unsaid does no harm: things ask what is next when they
        connect again, and one that begins what was taken back is refused.
        """
        for _ in range(min(schedule.BATCH, len(self._withdrawn))):
            job_id, thing, namespace = self._withdrawn.popleft()
            self._notices.tell(thing, namespace)
            if execution := self._store.execution(job_id, thing):
                self._pass_on(execution)
        return self._clock() + schedule.PAUSE if self._withdrawn else None

    def _pass_on(self, execution: model.Execution) -> None:
        for listener in self._listeners:
            listener(execution.shown())
