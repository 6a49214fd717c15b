"""What happens to jobs with time: things join and leave, rates allow more, waits run out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from verge.cloud import ports
from verge.cloud.jobs import changes, model, rollout, service, states, targets

BATCH = 20
"""Things that are told in one turn, so that no other request waits for all of a large fleet."""
PAUSE = 0.01
"""Seconds between two turns in which the others have theirs."""


class Schedule:
    """Carries out what is due. Each method returns when it is to be called again, or None."""

    def __init__(
        self, *, service: service.Service, things: ports.Things, clock: Callable[[], float]
    ) -> None:
        self._service = service
        self._store = service.store
        self._things = things
        self._clock = clock

    def refresh(self) -> None:
        """Bring the jobs in progress up to date with the registry of things."""
        for job in self._store.jobs(active=True):
            # Asked before the transaction: the registry has a lock of its own.
            if job.continuous:
                self._follow(job, targets.expand(job.targets, self._things))
            else:
                self._forget_deleted(job)

    def roll_out(self) -> float | None:
        """Tell some of the waiting things of their job, no more than its rate allows now."""
        times = [self._roll_out(job) for job in self._store.jobs(active=True)]
        return min((time for time in times if time is not None), default=None)

    def expire(self) -> float | None:
        """End the executions whose device was not heard of in time."""
        for execution in self._store.overdue(self._clock()):
            self._time_out(execution)
        return self._store.next_expiry()

    def _follow(self, job: model.Job, members: Sequence[str]) -> None:
        known, belonging = self._store.members(job.id), set(members)
        joined, left = [each for each in members if each not in known], known - belonging
        if not joined and not left:
            return
        deleted = {each for each in left if not self._things.exists(each)}
        with self._service.changing() as found:
            if not self._active(job.id):
                return
            self._store.change_members(job.id, joined, left)
            self._store.forget_waiting(job.id, left)
            for thing in left:
                self._leave(found, job.id, thing, deleted=thing in deleted)
            self._store.wait(job.id, [each for each in joined if not self._at_it(job.id, each)])

    def _at_it(self, job_id: str, thing: str) -> bool:
        """Whether a thing that is back is still at the job that it began before it left."""
        execution = self._store.execution(job_id, thing)
        return execution is not None and execution.status == states.IN_PROGRESS

    def _leave(self, found: changes.Changes, job_id: str, thing: str, *, deleted: bool) -> None:
        """Take back what a thing has not begun; what it has may end, if there is a thing."""
        execution = self._store.execution(job_id, thing)
        if execution is None or execution.status in states.TERMINAL:
            return
        if deleted or execution.status == states.QUEUED:
            self._service.end(found, execution, states.REMOVED)

    def _forget_deleted(self, job: model.Job) -> None:
        things = {each.thing for each in self._store.pending_of_job(job.id)}
        things.update(self._store.waiting(job.id))
        gone = {each for each in things if not self._things.exists(each)}
        if not gone:
            return
        with self._service.changing() as found:
            self._store.forget_waiting(job.id, gone)
            for execution in self._store.pending_of_job(job.id):
                if execution.thing in gone:
                    self._service.end(found, execution, states.REMOVED)
            if current := self._active(job.id):
                self._service.complete(current)

    def _roll_out(self, job: model.Job) -> float | None:
        if not self._store.waiting(job.id, 1):
            return None
        with self._service.changing() as found:
            current = self._active(job.id)
            if current is None:
                return None
            number, following = self._allowed(current)
            chosen = self._store.waiting(job.id, BATCH if number is None else min(number, BATCH))
            if not chosen:
                return following
            self._queue(found, current, chosen)
            if not self._store.waiting(job.id, 1):
                return None
            return max(self._allowed(current)[1], self._clock() + PAUSE)

    def _allowed(self, job: model.Job) -> tuple[int | None, float]:
        if not job.rollout:
            return None, self._clock()
        # What was told within the last minute raises the rate of the next one.
        minute = self._clock() - rollout.WINDOW
        counts = self._store.counts(job.id, queued_until=minute)
        rate = rollout.rate_per_minute(
            job.rollout, sum(counts.values()), counts.get(states.SUCCEEDED, 0)
        )
        now = self._clock()
        # Later ones than a second from now (see `_queue`) are from before the clock was set back.
        recent = [at for at in self._store.queued_since(job.id, minute) if at <= now + 1.0]
        return rollout.allowance(rate, recent, now)

    def _queue(self, found: changes.Changes, job: model.Job, things: Sequence[str]) -> None:
        now, rows = self._clock(), []
        former = self._store.newest(job.id, things)
        for thing in things:
            found.touch(thing, job.namespace)
            if thing in former:
                # A device takes a job again only if it was queued in a later second.
                again = former[thing]
                rows.append((thing, again.number + 1, max(now, int(again.queued_at) + 1.0)))
            else:
                rows.append((thing, 1, now))
        self._store.queue(job.id, rows)
        self._store.forget_waiting(job.id, things)
        found.executions.extend(self._store.newest(job.id, things).values())

    def _time_out(self, execution: model.Execution) -> None:
        with self._service.changing() as found:
            current = self._store.execution(execution.job_id, execution.thing, execution.number)
            if current and current.expires_at and current.expires_at <= self._clock():
                self._service.end(found, current, states.TIMED_OUT)

    def _active(self, job_id: str) -> model.Job | None:
        job = self._store.job(job_id)
        return job if job is not None and job.status == states.IN_PROGRESS else None
