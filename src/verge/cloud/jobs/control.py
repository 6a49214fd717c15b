"""The job operations of the IoT API, with botocore's shapes.

What AWS offers beyond them (templates, schedules, retries, pre-signed URLs in documents, documents
from S3, tags) is refused by name, because a job that ignores it would do something else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from werkzeug.wrappers import Request, Response

from verge.cloud import ports
from verge.cloud import settings as configured
from verge.cloud.http import answers, routing
from verge.cloud.jobs import errors, model, rest, service, shapes, targets

Create = Callable[[model.Job, str], None]
"""Adds a job with its document, JSON."""


class _CreateJob(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    targets: tuple[str, ...]
    document: str
    description: str | None = None
    target_selection: Literal["CONTINUOUS", "SNAPSHOT"] = "SNAPSHOT"
    job_executions_rollout_config: dict[str, Any] = {}
    abort_config: dict[str, Any] = {}
    timeout_config: dict[str, Any] = {}
    namespace_id: str = ""


class _UpdateJob(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    description: str | None = None
    job_executions_rollout_config: dict[str, Any] | None = None
    abort_config: dict[str, Any] | None = None
    timeout_config: dict[str, Any] | None = None


class _CancelJob(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    reason_code: str | None = None
    comment: str | None = None


class _CancelExecution(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    expected_version: int | None = None
    status_details: dict[str, str] | None = None


class _Associate(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    targets: tuple[str, ...]
    comment: str | None = None


class Control:
    """CreateJob to ListJobExecutionsForThing."""

    def __init__(
        self,
        *,
        service: service.Service,
        things: ports.Things,
        settings: configured.Settings,
        clock: Callable[[], float],
        create: Create,
        look_again: Callable[[], None],
    ) -> None:
        self._service = service
        self._store = service.store
        self._things = things
        self._names = shapes.Names(settings)
        self._clock = clock
        self._create = create
        self._look_again = look_again

    def routes(self) -> Sequence[routing.Route]:
        """Return the routes; those under `/things` share paths with `iot-jobs-data`."""
        table: tuple[tuple[str, str, routing.Handler], ...] = (
            ("PUT", "/jobs/{job}", self.create),
            ("GET", "/jobs/{job}", self.describe),
            ("PATCH", "/jobs/{job}", self.update),
            ("DELETE", "/jobs/{job}", self.delete),
            ("GET", "/jobs", self.list),
            ("PUT", "/jobs/{job}/cancel", self.cancel),
            ("POST", "/jobs/{job}/targets", self.associate),
            ("GET", "/jobs/{job}/job-document", self.document),
            ("GET", "/jobs/{job}/things", self.list_for_job),
            ("PUT", "/things/{thing}/jobs/{job}/cancel", self.cancel_execution),
            (
                "DELETE",
                "/things/{thing}/jobs/{job}/executionNumber/{number}",
                self.delete_execution,
            ),
        )
        return tuple(routing.Route.of(m, p, rest.answering(h)) for m, p, h in table)

    # Jobs

    def create(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer CreateJob."""
        asked = rest.body(request, _CreateJob)
        try:
            json.loads(asked.document)
        except (ValueError, RecursionError) as error:
            raise errors.refuse(f"cannot use the job document: it is no JSON ({error})") from error
        now = self._clock()
        job = model.Job(
            id=values["job"],
            targets=asked.targets,
            namespace=asked.namespace_id,
            continuous=asked.target_selection == "CONTINUOUS",
            created_at=now,
            updated_at=now,
            description=asked.description,
            rollout=asked.job_executions_rollout_config,
            abort=asked.abort_config,
            timeout=asked.timeout_config,
        )
        self._create(job, asked.document)
        return answers.document(shapes.named(job, self._names))

    def describe(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer DescribeJob."""
        job = self._service.job(values["job"])
        shown = shapes.whole(
            job,
            self._names,
            self._store.counts(job.id),
            rolling_out=bool(self._store.waiting(job.id, 1)),
        )
        return answers.document({"job": shown})

    def update(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer UpdateJob."""
        asked = rest.body(request, _UpdateJob)
        given = {
            "description": asked.description,
            "rollout": asked.job_executions_rollout_config,
            "abort": asked.abort_config,
            "timeout": asked.timeout_config,
        }
        self._service.change(values["job"], **shapes.without_none(given))
        return answers.document({})

    def cancel(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer CancelJob."""
        asked = rest.body(request, _CancelJob)
        job = self._service.cancel(
            values["job"],
            force=rest.flag(request, "force"),
            reason=asked.reason_code,
            comment=asked.comment,
        )
        return answers.document(shapes.named(job, self._names))

    def delete(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer DeleteJob."""
        self._service.delete(values["job"], force=rest.flag(request, "force"))
        return answers.document({})

    def associate(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer AssociateTargetsWithJob, for continuous jobs."""
        asked = rest.body(request, _Associate)
        job = self._service.job(values["job"])
        if not job.continuous:
            raise errors.refuse(f"cannot add targets to job {job.id}: it is not CONTINUOUS")
        targets.check(asked.targets, self._things)
        together = tuple(dict.fromkeys((*job.targets, *asked.targets)))
        self._service.change(job.id, targets=together)
        self._look_again()
        return answers.document(shapes.named(job, self._names))

    def list(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer ListJobs, newest first."""
        query = request.args
        group = query.get("thingGroupName")
        target = None if group is None else self._names.group(group)
        chosen = [
            job
            for job in self._store.jobs()
            if query.get("status") in (None, job.status)
            and query.get("targetSelection") in (None, shapes.selection(job))
            and query.get("namespaceId") in (None, job.namespace)
            and (target is None or target in job.targets)
        ]
        return rest.page(request, "jobs", chosen, lambda job: shapes.summary(job, self._names))

    def document(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer GetJobDocument."""
        job = self._service.job(values["job"])
        return answers.document({"document": self._store.document(job.id)})

    # Executions

    def describe_execution(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer DescribeJobExecution of the IoT API."""
        number = rest.number(request, "executionNumber")
        found = self._service.execution(values["job"], values["thing"], number)
        return answers.document({"execution": shapes.execution(found, self._names, self._clock())})

    def cancel_execution(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer CancelJobExecution."""
        asked = rest.body(request, _CancelExecution)
        self._service.cancel_execution(
            values["thing"],
            values["job"],
            force=rest.flag(request, "force"),
            expected_version=asked.expected_version,
            details=asked.status_details,
        )
        return answers.document({})

    def delete_execution(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer DeleteJobExecution."""
        if not values["number"].isdigit():
            raise errors.refuse(f"cannot use the execution number {values['number']}")
        self._service.delete_execution(
            values["thing"],
            values["job"],
            int(values["number"]),
            force=rest.flag(request, "force"),
        )
        return answers.document({})

    def list_for_job(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer ListJobExecutionsForJob."""
        job = self._service.job(values["job"])
        status = request.args.get("status")
        return rest.page_by_key(
            request,
            "executionSummaries",
            lambda after, most: self._store.executions_of_job(
                job.id, status=status, after=after, most=most
            ),
            lambda each: each.thing,
            lambda each: {
                "thingArn": self._names.thing(each.thing),
                "jobExecutionSummary": shapes.times(each),
            },
        )

    def list_for_thing(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer ListJobExecutionsForThing, newest first."""
        if not self._things.exists(values["thing"]):
            raise errors.MissingError(f"cannot find thing {values['thing']}")
        query = request.args
        chosen = [
            each
            for each in reversed(self._store.executions_of_thing(values["thing"]))
            if query.get("status") in (None, each.status)
            and query.get("namespaceId") in (None, each.namespace)
            and query.get("jobId") in (None, each.job_id)
        ]
        return rest.page(
            request,
            "executionSummaries",
            chosen,
            lambda each: {"jobId": each.job_id, "jobExecutionSummary": shapes.times(each)},
        )
