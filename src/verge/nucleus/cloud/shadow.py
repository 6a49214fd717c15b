"""Deployments of the thing itself, which come in a named shadow (Greengrass contract 5.8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from verge.nucleus import logs, settings
from verge.nucleus.cloud.jobs import ANSWER_LIMIT, DETAIL_LENGTH, Link
from verge.nucleus.deployment import fleet
from verge.nucleus.deployment.documents import Channel, Record, Status

NAME = "AWSManagedGreengrassV2Deployment"

_TAKEN = 0
_MISSING = 404
_CONFLICT = 409
_FOR_GOOD = frozenset({400, 413, 415})
"""How the cloud refuses what it would refuse again: malformed, too large, not text."""
_TOKEN = "verge-nucleus"  # noqa: S105 - it tells our updates from those of others

log = logs.Logger("shadow")


class Shadow:
    """Takes deployments from the shadow's desired state and reports in its reported one."""

    def __init__(
        self, thing: str, link: Link, intake: fleet.Intake, answer_limit: float = ANSWER_LIMIT
    ) -> None:
        base = self._base = f"$aws/things/{thing}/shadow/name/{NAME}"
        self._link = link
        self._intake = intake
        self._answer_limit = answer_limit
        self._version = 0
        """The newest that was seen, which every report has to name."""
        self._known = asyncio.Event()
        self._news = asyncio.Event()
        self._answer: asyncio.Future[int | None] | None = None
        link.listen(f"{base}/get/accepted", self._got)
        link.listen(f"{base}/get/rejected", self._not_got)
        link.listen(f"{base}/update/accepted", self._updated)
        link.listen(f"{base}/update/rejected", self._refused)

    def changed(self, record: Record) -> None:
        """Take note of a deployment that has got further."""
        if record.fleet and record.fleet.channel is Channel.SHADOW:
            self._news.set()

    async def linked(self) -> None:
        """Get the shadow and report, until the link is lost."""
        self._version = 0  # a shadow that was deleted begins anew
        self._news.set()
        await self._get()
        while True:
            await self._news.wait()
            self._news.clear()
            for record in self._intake.unreported(Channel.SHADOW):
                await self._report(record)

    async def _get(self) -> None:
        """Ask until the answer has come."""
        self._known.clear()
        while not self._known.is_set():
            await self._link.publish(f"{self._base}/get", None)
            try:
                async with asyncio.timeout(self._answer_limit):
                    await self._known.wait()
            except TimeoutError:
                log.warning("No answer to the question for the shadow")

    # Taking

    def _got(self, _topic: str, message: Mapping[str, Any]) -> None:
        state = _map(message.get("state"))
        self._take(message, state.get("desired"), _map(state.get("reported")))
        self._known.set()

    def _not_got(self, _topic: str, message: Mapping[str, Any]) -> None:
        if message.get("code") == _MISSING:
            self._known.set()
        else:
            log.warning("Shadow not got", reason=message.get("message"))

    def _updated(self, _topic: str, message: Mapping[str, Any]) -> None:
        self._take(message, _map(message.get("state")).get("desired"), None)
        self._settle(message, _TAKEN)

    def _refused(self, _topic: str, message: Mapping[str, Any]) -> None:
        code = message.get("code")
        self._settle(message, code if isinstance(code, int) else None)

    def _settle(self, message: Mapping[str, Any], code: int | None) -> None:
        ours = message.get("clientToken") == _TOKEN
        if ours and self._answer and not self._answer.done():
            self._answer.set_result(code)

    def _take(
        self, message: Mapping[str, Any], desired: Any, reported: Mapping[str, Any] | None
    ) -> None:
        """Look at a shadow; `reported` is None where the message holds the desired part alone."""
        version = message.get("version")
        if not isinstance(version, int) or version < self._version:
            return
        self._version = version
        if not desired:
            return
        try:
            document = json.loads(desired["fleetConfig"])
            arn, wanted = document["configurationArn"], desired["desiredStatus"]
        except (TypeError, KeyError, ValueError, RecursionError) as error:
            log.warning("Shadow ignored", reason=repr(error))
            return
        if not arn or not wanted:
            log.warning("Shadow ignored", reason="configurationArn or desiredStatus is empty")
        elif wanted == Status.CANCELED:
            self._cancel(arn)
        elif not _is_done(arn, reported):
            record = self._intake.take_shadow(document)
            if reported is not None and reported.get("status") != (record.reported or None):
                # The shadow does not say what it was told, so it is told again.
                self._intake.reported(record, "")

    def _cancel(self, arn: str) -> None:
        for record in self._intake.waiting(Channel.SHADOW):
            if record.fleet and record.fleet.configuration_arn == arn:
                self._intake.cancel(record)

    # Reporting

    async def _report(self, record: Record) -> None:
        assert record.fleet  # noqa: S101 - it came in the shadow
        if not record.fleet.configuration_arn:
            self._intake.reported(record, record.status)  # there is no name to report it under
        while (status := record.status) != record.reported:
            code = await self._update(record)
            if code in _FOR_GOOD:
                log.error("Status refused", deployment=record.id, status=status, code=code)
            elif code != _TAKEN:
                log.info("Shadow not updated, tried again", deployment=record.id, status=status)
                if code != _CONFLICT:
                    await asyncio.sleep(self._answer_limit / 10)
                await self._get()
                continue
            self._intake.reported(record, status)

    async def _update(self, record: Record) -> int | None:
        """Report; return the code of the refusal, None if no answer came."""
        answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._answer = answer
        body = {
            "state": {"reported": reported_state(record)},
            "version": self._version,
            "clientToken": _TOKEN,
        }
        await self._link.publish(f"{self._base}/update", body)
        try:
            async with asyncio.timeout(self._answer_limit):
                return await answer
        except TimeoutError:
            return None


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_done(arn: str, reported: Mapping[str, Any] | None) -> bool:
    """Return whether a configuration has been carried out already, perhaps long ago."""
    return (
        reported is not None
        and reported.get("fleetConfigurationArnForStatus") == arn
        and reported.get("status") != Status.IN_PROGRESS
    )


def reported_state(record: Record) -> dict[str, Any]:
    """Return what the shadow says of a deployment; empty fields clear former ones.

    All of a shadow is 8 KiB at most, so a cause with the output of components has to be cut.
    """
    assert record.fleet  # noqa: S101 - it came in the shadow
    return {
        "fleetConfigurationArnForStatus": record.fleet.configuration_arn,
        "status": record.status.value,
        "statusDetails": {
            "detailedStatus": record.detail or "",
            "failureCause": (record.failure_cause or "")[:DETAIL_LENGTH],
            "errorStack": record.error_stack,
            "errorTypes": record.error_types,
        },
        "ggcVersion": settings.VERSION,
    }
