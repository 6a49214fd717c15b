"""The jobs service: every change of a job or an execution is decided here."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from verge.cloud.jobs import changes, criteria, errors, model, reports, states, store
from verge.cloud.jobs import configuration as configurations

DOCUMENT_LIMIT = 32_768
_JOB_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_log = logging.getLogger(__name__)

Committed = Callable[[model.Execution], None]
"""Called with an execution when its change is durable, before anybody else hears of it."""


class Service:
    """Jobs, their executions and what becomes of them.

    `settled` is called after each commit with what changed. Nothing here asks the registry of
    things or talks to the broker, so it can hold the database's lock.
    """

    def __init__(
        self,
        *,
        kept: store.Store,
        clock: Callable[[], float],
        settled: Callable[[changes.Changes], None],
    ) -> None:
        self.store = kept
        self.clock = clock
        self._settled = settled

    @contextmanager
    def changing(self) -> Iterator[changes.Changes]:
        """Commit all changes of the block or none; then make them known."""
        found = changes.Changes(self.store)
        with self.store.transaction():
            yield found
        self._settled(found)

    # Jobs

    def create(self, job: model.Job, document: str, members: tuple[str, ...]) -> None:
        """Add a job for the things that its targets stand for now. Raises JobError."""
        if not _JOB_ID.fullmatch(job.id):
            raise errors.refuse(f"cannot use the job id {job.id}: letters, digits, - and _, <= 64")
        if len(document.encode()) > DOCUMENT_LIMIT:
            raise errors.refuse(
                f"cannot use the document of job {job.id}: larger than {DOCUMENT_LIMIT} bytes"
            )
        configurations.check(job.rollout, job.abort, job.timeout)
        with self.changing() as found:
            if self.store.job(job.id):
                raise errors.JobError(errors.EXISTS, f"cannot create job {job.id}: it exists")
            self.store.add_job(job, document)
            self.store.change_members(job.id, members, ())
            self.store.wait(job.id, members)
            self.complete(job)
            found.wakes = True
        _log.info("Job created job=%s things=%d", job.id, len(members))

    def job(self, job_id: str) -> model.Job:
        """Return a job. Raises JobError."""
        job = self.store.job(job_id)
        if job is None:
            raise errors.no_job(job_id)
        return job

    def cancel(
        self,
        job_id: str,
        *,
        force: bool = False,
        reason: str | None = None,
        comment: str | None = None,
    ) -> model.Job:
        """Cancel what no device has begun, with `force` also the rest. Raises JobError."""
        with self.changing() as found:
            job = self.job(job_id)
            if job.status == states.COMPLETED:
                raise errors.refuse(f"cannot cancel job {job_id}: it is COMPLETED")
            job.forced = job.forced or force
            self._stop(found, job, reason, comment, force=force)
        return job

    def delete(self, job_id: str, *, force: bool = False) -> None:
        """Forget a job that has ended, with `force` any. Raises JobError."""
        with self.changing() as found:
            job = self.job(job_id)
            pending = self.store.pending_of_job(job_id)
            if not force and (job.status == states.IN_PROGRESS or pending):
                raise errors.JobError(
                    errors.INVALID_TRANSITION,
                    f"cannot delete job {job_id}: it has not ended; cancel it or use force",
                )
            for execution in pending:
                found.touch(execution.thing, job.namespace)
            self.store.delete_job(job_id)

    def change(self, job_id: str, **values: Any) -> None:
        """Replace settings of a job that is in progress. Raises JobError."""
        with self.changing() as found:
            job = self.job(job_id)
            if job.status != states.IN_PROGRESS:
                raise errors.refuse(f"cannot change job {job_id}: it is {job.status}")
            job = msgspec.structs.replace(job, updated_at=self.clock(), **values)
            configurations.check(job.rollout, job.abort, job.timeout)
            self.store.save_job(job)
            found.wakes = True

    # Executions

    def execution(self, job_id: str, thing: str, number: int | None = None) -> model.Execution:
        """Return an execution, the newest unless a number is given. Raises JobError."""
        found = self.store.execution(job_id, thing, number)
        if found is None:
            raise errors.no_execution(job_id, thing)
        return found

    def report(
        self, thing: str, job_id: str, report: reports.Report, then: Committed | None = None
    ) -> model.Execution:
        """Take in what a device says of an execution. Raises JobError.

        A report that says what is known already changes nothing and is accepted: MQTT brings
        messages more than once, and a device repeats one whose answer was lost.
        """
        reports.check(report)
        found = changes.Changes(self.store)
        with self.store.transaction():
            execution = self.execution(job_id, thing, report.number)
            changed = self._reported(execution, report)
            if changed == execution:
                found.executions.append(execution)
            else:
                found.save(changed)
                self._judge(found, changed)
        if then:
            then(changed)
        self._settled(found)
        return changed

    def start_next(
        self, thing: str, namespace: str, report: reports.Report, then: Committed | None = None
    ) -> model.Execution | None:
        """Begin the job a device is to do next, if none is in progress. Raises JobError.

        Returns the one that is IN_PROGRESS from then on; None where nothing is pending.
        """
        pending = self.store.pending(thing, namespace)
        if pending and pending[0].status == states.QUEUED:
            return self.report(thing, pending[0].job_id, report, then)
        if pending and then:
            then(pending[0])
        return pending[0] if pending else None

    def cancel_execution(
        self,
        thing: str,
        job_id: str,
        *,
        force: bool = False,
        expected_version: int | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        """Cancel a job on one thing. Raises JobError."""
        reports.check_details(details)
        with self.changing() as found:
            execution = self.execution(job_id, thing)
            reports.check_version(execution, expected_version)
            if execution.status == states.IN_PROGRESS and not force:
                raise reports.transition(execution, states.CANCELED)
            if execution.status in states.TERMINAL:
                raise reports.transition(execution, states.CANCELED)
            self._end(found, execution, states.CANCELED, force=force, details=details)
            self._judge(found, self.execution(job_id, thing))

    def delete_execution(self, thing: str, job_id: str, number: int, *, force: bool) -> None:
        """Forget a job on one thing. Raises JobError."""
        with self.changing() as found:
            execution = self.execution(job_id, thing, number)
            if execution.status not in states.TERMINAL and not force:
                raise errors.JobError(
                    errors.INVALID_TRANSITION,
                    f"cannot delete the execution of job {job_id} for {thing}: "
                    f"it is {execution.status}; cancel it or use force",
                )
            found.touch(thing, execution.namespace)
            self.store.delete_execution(job_id, thing, number)

    # Decisions

    def _reported(self, execution: model.Execution, report: reports.Report) -> model.Execution:
        details = execution.details if report.details is None else dict(report.details)
        same = execution.status == report.status and execution.details == details
        if same and execution.status in states.TERMINAL:
            return execution
        if execution.status in states.TERMINAL:
            raise reports.transition(execution, report.status)
        reports.check_version(execution, report.expected_version)
        now = self.clock()
        deadline, step = execution.deadline, execution.step_deadline
        if execution.started_at is None:
            minutes = self.job(execution.job_id).timeout.get("inProgressTimeoutInMinutes")
            deadline = now + 60 * minutes if minutes else None
        if report.step_minutes is not None:
            step = None if report.step_minutes == -1 else now + 60 * report.step_minutes
        return msgspec.structs.replace(
            execution,
            status=report.status,
            details=details,
            started_at=execution.started_at or now,
            updated_at=now,
            version=execution.version + 1,
            deadline=deadline,
            step_deadline=step,
        )

    def end(self, found: changes.Changes, execution: model.Execution, status: str) -> None:
        """End an execution that its device has not ended."""
        _log.info(
            "Execution ended job=%s thing=%s status=%s", execution.job_id, execution.thing, status
        )
        self._end(found, execution, status)
        self._judge(found, msgspec.structs.replace(execution, status=status))

    def _end(
        self,
        found: changes.Changes,
        execution: model.Execution,
        status: str,
        *,
        force: bool = False,
        details: Mapping[str, str] | None = None,
    ) -> None:
        found.save(
            msgspec.structs.replace(
                execution,
                status=status,
                details=execution.details if details is None else dict(details),
                updated_at=self.clock(),
                version=execution.version + 1,
                forced=force,
            )
        )

    def _judge(self, found: changes.Changes, execution: model.Execution) -> None:
        if execution.status not in states.TERMINAL:
            return
        job = self.job(execution.job_id)
        if job.status != states.IN_PROGRESS:
            return
        if job.abort and (reason := criteria.met(job.abort, self.store.counts(job.id))):
            self._stop(found, job, "ABORT_CRITERIA_MET", reason)
            return
        self.complete(job)
        # Devices that succeed can raise the rate at which the rest is told.
        found.wakes = found.wakes or bool(job.rollout)

    def complete(self, job: model.Job) -> None:
        """End a snapshot job of which every execution has ended; a continuous job never ends."""
        if job.continuous or not self.store.has_ended(job.id):
            return
        job.status = states.COMPLETED
        job.updated_at = job.completed_at = self.clock()
        self.store.save_job(job)

    def _stop(
        self,
        found: changes.Changes,
        job: model.Job,
        reason: str | None,
        comment: str | None,
        *,
        force: bool = False,
    ) -> None:
        found.withdraw(job, self.clock(), forced=force)
        for execution in self.store.pending_of_job(job.id) if force else ():
            self._end(found, execution, states.CANCELED, force=force)
        self.store.forget_all_waiting(job.id)
        job.status = states.CANCELED
        job.updated_at = job.completed_at = self.clock()
        job.reason_code, job.comment = reason, comment
        self.store.save_job(job)
        _log.info("Job canceled job=%s reason=%s comment=%s", job.id, reason, comment)
