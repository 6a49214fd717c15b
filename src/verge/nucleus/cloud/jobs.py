"""Deployments of thing groups, which come as IoT jobs (Greengrass contract 5.8)."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from typing import Any, Protocol

from verge.nucleus import logs
from verge.nucleus.cloud import errors
from verge.nucleus.cloud.link import Handler
from verge.nucleus.deployment import fleet
from verge.nucleus.deployment.documents import Channel, Record, Status

NAMESPACE = "namespace-aws-gg-deployment"

DETAIL_LENGTH = 1024
"""Characters of one detail that the jobs service takes."""

ANSWER_LIMIT = 30.0
"""Seconds to wait for an answer of the cloud before asking again."""

LISTED = 10
"""Jobs in one notification; with fewer, one that is not listed is not wanted any more."""

KEPT = 50
"""Jobs of which is known when they were reported."""

_OPEN = frozenset({"QUEUED", "IN_PROGRESS"})
_LATER = frozenset({"InternalError", "RequestThrottled"})
_WORDS = {Status.CANCELED: "FAILED"}
"""How the jobs service calls what it has no word for: cancelled on the device itself."""

log = logs.Logger("jobs")


class Link(Protocol):
    """The part of the link that is needed here."""

    def listen(self, topic: str, handler: Handler) -> None:
        """Hand over what is published there."""

    async def listen_now(self, topic: str, handler: Handler) -> None:
        """The same over the present link."""

    async def forget(self, topic: str) -> None:
        """Listen no longer."""

    async def publish(self, topic: str, document: Any) -> None:
        """Publish JSON; on return the broker has it."""


class Jobs:
    """Takes jobs, and reports until the cloud has taken note."""

    def __init__(
        self, thing: str, link: Link, intake: fleet.Intake, answer_limit: float = ANSWER_LIMIT
    ) -> None:
        base = self._base = f"$aws/things/{thing}/jobs"
        self._thing = thing
        self._link = link
        self._intake = intake
        self._answer_limit = answer_limit
        self._tokens = itertools.count(1)
        self._wanted = asyncio.Event()
        self._news = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._told: dict[str, float] = {}
        """When the cloud took a status of a job, by the loop's clock."""
        self._answered: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        link.listen(f"{base}/notify-{NAMESPACE}", self._notified)
        link.listen(f"{base}/notify-next-{NAMESPACE}", self._next)
        for outcome in ("accepted", "rejected"):
            link.listen(f"{base}/$next/{NAMESPACE}/get/{outcome}", self._answer)

    def changed(self, record: Record) -> None:
        """Take note of a deployment that has got further."""
        if record.fleet and record.fleet.channel is Channel.JOB:
            self._news.set()

    async def linked(self) -> None:
        """Ask for the next job and report, until the link is lost."""
        self._wanted.set()
        self._news.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_asking())
            tasks.create_task(self._keep_reporting())

    # Taking

    async def _keep_asking(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            body = {"jobId": "$next", "thingName": self._thing, "includeJobDocument": True}
            answer = await self._ask(f"{self._base}/$next/{NAMESPACE}/get", body)
            if answer is None or "code" in answer:
                log.warning("No answer to the question for a job", reason=answer or "none came")
                await asyncio.sleep(self._answer_limit / 10)
                self._wanted.set()
            else:
                self._take(answer.get("execution"))

    def _notified(self, _topic: str, message: Mapping[str, Any]) -> None:
        """Ask for the next job; a running one that is not listed any more was cancelled."""
        listed = _listed(message.get("jobs"))
        if len(listed) < LISTED:
            self._cancel_others(listed)
        self._wanted.set()

    def _next(self, _topic: str, message: Mapping[str, Any]) -> None:
        execution = message.get("execution")
        if not execution:
            self._cancel_others(set())
        elif isinstance(execution, dict) and "jobDocument" in execution:
            self._take(execution)
        else:
            self._wanted.set()

    def _take(self, execution: Any) -> None:
        if not execution:
            return
        if not isinstance(execution, dict) or not isinstance(execution.get("jobId"), str):
            log.error("Job ignored: it has no jobId")
            return
        job_id, queued_at = execution["jobId"], execution.get("queuedAt")
        record = self._intake.take_job(
            job_id,
            float(queued_at) if isinstance(queued_at, int | float) else 0.0,
            execution.get("jobDocument"),
        )
        self._cancel_others({job_id})
        status = execution.get("status")
        lately = self._told.get(job_id, -self._answer_limit) + self._answer_limit > self._now()
        if status in _OPEN and record.reported not in {"", status} and not lately:
            # The cloud does not know what it was told, so it is told again.
            self._intake.reported(record, "")
        self._news.set()

    def _cancel_others(self, wanted: set[str]) -> None:
        for record in self._intake.waiting(Channel.JOB):
            if record.fleet and record.fleet.job_id not in wanted:
                self._intake.cancel(record)

    # Reporting

    async def _keep_reporting(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            for record in self._intake.unreported(Channel.JOB):
                if not await self._report(record):
                    await asyncio.sleep(self._answer_limit / 10)
                    self._news.set()

    async def _report(self, record: Record) -> bool:
        """Tell the cloud; return False if it has to be told again later."""
        assert record.fleet  # noqa: S101 - it came as a job
        job_id, status = record.fleet.job_id, record.status
        topic = f"{self._base}/{job_id}/{NAMESPACE}/update"
        answers = [f"{topic}/{outcome}" for outcome in ("accepted", "rejected")]
        for one in answers:
            await self._link.listen_now(one, self._answer)
        body = {"status": _WORDS.get(status, status.value), "statusDetails": details(record)}
        answer = await self._ask(topic, body)
        for one in answers:
            await self._link.forget(one)
        if answer is None or answer.get("code") in _LATER:
            log.warning("Status not taken yet", job=job_id, status=status)
            return False
        if "code" in answer:
            reason = answer.get("message") or answer["code"]
            log.warning("Status refused", job=job_id, status=status, reason=reason)
            if status is Status.IN_PROGRESS:
                self._intake.cancel(record)  # the cloud has ended this job meanwhile
        self._intake.reported(record, status)
        self._told = {**dict(list(self._told.items())[-KEPT:]), job_id: self._now()}
        if status is not Status.IN_PROGRESS:
            self._wanted.set()
        return True

    # Questions and answers

    async def _ask(self, topic: str, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the answer, None if none came in time. Raises UnreachableError without a link."""
        token = f"{self._thing}-{next(self._tokens)}"
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._answered[token] = answer
        try:
            await self._link.publish(topic, {**body, "clientToken": token})
            async with asyncio.timeout(self._answer_limit):
                return await answer
        except errors.RefusedError as error:
            return {"code": "NotPublished", "message": str(error)}
        except TimeoutError:
            return None
        finally:
            del self._answered[token]

    def _answer(self, topic: str, message: Mapping[str, Any]) -> None:
        answer = self._answered.get(str(message.get("clientToken")))
        if answer and not answer.done():
            refused = {"code": "Refused"} if topic.endswith("/rejected") else {}
            answer.set_result({**refused, **message})


def _listed(jobs: Any) -> set[str]:
    """Return the job ids of a notification, which lists them by status."""
    if not isinstance(jobs, dict):
        return set()
    return {
        str(one.get("jobId"))
        for some in jobs.values()
        if isinstance(some, list)
        for one in some
        if isinstance(one, dict)
    }


def details(record: Record) -> dict[str, str]:
    """Return what the jobs service keeps beside the status: texts of limited length."""
    found = {
        "detailed-deployment-status": record.detail,
        "deployment-failure-cause": record.failure_cause,
        "deployment-error-stack": record.error_stack and json.dumps(record.error_stack),
        "deployment-error-types": record.error_types and json.dumps(record.error_types),
    }
    return {name: str(text)[:DETAIL_LENGTH] for name, text in found.items() if text}
