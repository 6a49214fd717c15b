"""`iot-jobs-data`: the requests of devices over HTTP.

Two of its paths are those of operations of the IoT API as well. Clients say in the scope of their
signature which service they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from werkzeug.wrappers import Request, Response

from verge.cloud import ports
from verge.cloud.http import answers, routing
from verge.cloud.jobs import documents, errors, model, requests, rest, service, states

SIGNING_NAME = "iot-jobs-data"


def meant(request: Request) -> bool:
    """Whether a request is signed for this service."""
    return f"/{SIGNING_NAME}/aws4_request" in request.headers.get("Authorization", "")


class Data:
    """GetPendingJobExecutions, StartNextPendingJobExecution, Describe- and UpdateJobExecution."""

    def __init__(
        self, *, service: service.Service, things: ports.Things, clock: Callable[[], float]
    ) -> None:
        self._service = service
        self._things = things
        self._clock = clock

    def routes(self) -> Sequence[routing.Route]:
        """Return the routes; the two that are shared decide by the signature."""
        return (
            routing.Route.of("PUT", "/things/{thing}/jobs/$next", rest.answering(self.start_next)),
            routing.Route.of(
                "PUT", "/things/{thing}/jobs/%24next", rest.answering(self.start_next)
            ),
            routing.Route.of("POST", "/things/{thing}/jobs/{job}", rest.answering(self.update)),
        )

    def pending(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer GetPendingJobExecutions."""
        thing = self._thing(values)
        return answers.document(documents.as_lists(self._service.store.pending(thing, "")))

    def start_next(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer StartNextPendingJobExecution."""
        thing = self._thing(values)
        asked = requests.parse(request.get_data())
        found = self._service.start_next(thing, "", asked.beginning)
        return self._shown(found, document=True)

    def describe(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer DescribeJobExecution; the job may be `$next`."""
        thing = self._thing(values)
        document = request.args.get("includeJobDocument", "true").lower() == "true"
        if values["job"] == "$next":
            pending = self._service.store.pending(thing, "")
            return self._shown(pending[0] if pending else None, document=document)
        number = rest.number(request, "executionNumber")
        found = self._service.execution(values["job"], thing, number)
        if found.status in states.TERMINAL:
            raise errors.JobError(
                errors.TERMINAL_STATE,
                f"cannot describe job {found.job_id} on {thing}: it is {found.status}",
            )
        return self._shown(found, document=document)

    def update(self, request: Request, values: Mapping[str, str]) -> Response:
        """Answer UpdateJobExecution."""
        thing = self._thing(values)
        asked = requests.parse(request.get_data())
        found = self._service.report(thing, values["job"], asked.report)
        answer: dict[str, Any] = {}
        if asked.include_job_execution_state:
            answer["executionState"] = found.state
        if asked.include_job_document:
            answer["jobDocument"] = self._service.store.document(found.job_id)
        return answers.document(answer)

    def _thing(self, values: Mapping[str, str]) -> str:
        if not self._things.exists(values["thing"]):
            raise errors.MissingError(f"cannot find thing {values['thing']}")
        return values["thing"]

    def _shown(self, execution: model.Execution | None, *, document: bool) -> Response:
        if execution is None:
            return answers.document({})
        shown = {"thingName": execution.thing, **documents.whole(execution, self._clock())}
        if document:
            shown["jobDocument"] = self._service.store.document(execution.job_id)
        return answers.document({"execution": shown})
