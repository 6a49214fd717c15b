"""The topics on which devices ask the jobs service, and its answers (contract 5.8).

Below `$aws/things/<thing>/jobs/`: `get`, `start-next`, `<job>/get` and `<job>/update`, where a job
may be `$next` for `get`; with a namespace between the job and the verb only jobs of that namespace
exist, without one only jobs that have none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from verge.cloud import ports, strict_json
from verge.cloud.jobs import documents, errors, model, requests, service, states

_NAMESPACE = "namespace-"
NEXT = "$next"
FILTERS = tuple(
    f"$aws/things/+/jobs/{rest}"
    for rest in ("get", "start-next", "+/get", "+/update", "+/+/get", "+/+/update")
)

_log = logging.getLogger(__name__)


class Address(NamedTuple):
    """What a topic asks, for whom; `job_id` is empty for `get` and `start-next`."""

    thing: str
    job_id: str
    namespace: str
    verb: str


def parse(topic: str) -> Address:
    """Read a topic that matches one of the filters. Raises JobError."""
    _aws, _things, thing, _jobs, *rest = topic.split("/")
    match rest:
        case [("get" | "start-next") as verb]:
            return Address(thing, "", "", verb)
        case [job_id, ("get" | "update") as verb]:
            return Address(thing, job_id, "", verb)
        case [job_id, namespace, ("get" | "update") as verb] if namespace.startswith(_NAMESPACE):
            return Address(thing, job_id, namespace.removeprefix(_NAMESPACE), verb)
    raise errors.JobError("InvalidTopic", f"cannot use the topic {topic}")


class Topics:
    """Answers devices."""

    def __init__(
        self, *, service: service.Service, bus: ports.Bus, clock: Callable[[], float]
    ) -> None:
        self._service = service
        self._bus = bus
        self._clock = clock

    def subscribe(self) -> None:
        """Take requests from now on."""
        for each in FILTERS:
            self._bus.subscribe(each, self.handle)

    def handle(self, topic: str, payload: bytes) -> None:
        """Answer one request on `…/accepted` or `…/rejected`."""
        answer = _Answer(self._bus, topic, payload, self._clock)
        try:
            address = parse(topic)
            request = requests.parse(payload)
            match address.verb:
                case "update":
                    self._update(address, request, answer)
                case "start-next":
                    self._start_next(address, request, answer)
                case _ if address.job_id:
                    self._describe(address, request, answer)
                case _:
                    pending = self._service.store.pending(address.thing, address.namespace)
                    answer.accept(**documents.as_lists(pending))
        except errors.JobError as error:
            _log.info("Request rejected topic=%s reason=%s", topic, error)
            answer.reject(error)

    def _describe(self, address: Address, request: requests.Request, answer: _Answer) -> None:
        if address.job_id == NEXT:
            pending = self._service.store.pending(address.thing, address.namespace)
            found = pending[0] if pending else None
        else:
            found = self._execution(address, request.execution_number)
            if found.status in states.TERMINAL:
                raise errors.JobError(
                    errors.TERMINAL_STATE,
                    f"cannot describe job {found.job_id} on {found.thing}: it is {found.status}",
                )
        answer.accept(**self._shown(found, request))

    def _start_next(self, address: Address, request: requests.Request, answer: _Answer) -> None:
        def accept(execution: model.Execution) -> None:
            answer.accept(**self._shown(execution, request))

        found = self._service.start_next(
            address.thing, address.namespace, request.beginning, then=accept
        )
        if found is None:
            answer.accept()

    def _update(self, address: Address, request: requests.Request, answer: _Answer) -> None:
        self._execution(address, request.execution_number)

        def accept(execution: model.Execution) -> None:
            members: dict[str, Any] = {}
            if request.include_job_execution_state:
                members["executionState"] = execution.state
            if request.include_job_document:
                members["jobDocument"] = json.loads(self._service.store.document(execution.job_id))
            answer.accept(**members)

        self._service.report(address.thing, address.job_id, request.report, then=accept)

    def _execution(self, address: Address, number: int | None) -> model.Execution:
        found = self._service.execution(address.job_id, address.thing, number)
        if found.namespace != address.namespace:
            raise errors.no_execution(address.job_id, address.thing)
        return found

    def _shown(
        self, execution: model.Execution | None, request: requests.Request
    ) -> ports.Document:
        if execution is None:
            return {}
        shown = {"thingName": execution.thing, **documents.whole(execution, self._clock())}
        if request.include_job_document is not False:
            shown["jobDocument"] = json.loads(self._service.store.document(execution.job_id))
        return {"execution": shown}


class _Answer:
    """Where an answer goes and what every answer repeats."""

    def __init__(
        self, bus: ports.Bus, topic: str, payload: bytes, clock: Callable[[], float]
    ) -> None:
        self._bus = bus
        self._topic = topic
        self._payload = payload
        self._clock = clock

    def accept(self, **members: Any) -> None:
        """Say that the request was carried out."""
        self._bus.publish(f"{self._topic}/accepted", {**self._common(), **members})

    def reject(self, error: errors.JobError) -> None:
        """Say why it was not."""
        members = {"code": error.code, "message": str(error)}
        state = {} if error.state is None else {"executionState": error.state}
        self._bus.publish(f"{self._topic}/rejected", {**self._common(), **members, **state})

    def _common(self) -> ports.Document:
        common: ports.Document = {"timestamp": int(self._clock())}
        try:
            token = strict_json.parse(self._payload)["clientToken"]
        except (ValueError, TypeError, KeyError):
            return common
        return {"clientToken": token, **common} if isinstance(token, str) else common
