"""Asks components whether they could live with a new configuration (Greengrass contract 3.7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from verge.nucleus import errors
from verge.nucleus.ipc import host

LOCAL_LIMIT = 20.0
"""Seconds that a component has to answer when a deployment names no other time."""

Ask = Callable[[str, Mapping[str, Any]], None]


class RejectedError(errors.NucleusError):
    """A component does not want its new configuration, or has not answered in time."""


class Validation:
    """Implements `host.Validation`. One deployment asks at a time."""

    def __init__(self) -> None:
        self._subscribers: dict[str, Ask] = {}
        self._deployment = ""
        self._answers: dict[str, asyncio.Future[str | None]] = {}
        self.withdrawn = False
        """Whether the deployment that asked last was withdrawn meanwhile."""

    # For the components

    def subscribe(self, component: str, ask: Ask) -> host.Unsubscribe:
        """Ask this component from now on; a further subscription of the same one is ignored."""
        if component in self._subscribers:
            return lambda: None
        self._subscribers[component] = ask

        def unsubscribe() -> None:
            del self._subscribers[component]
            answer = self._answers.get(component)
            if answer is not None and not answer.done():
                answer.set_result("it has gone without an answer")

        return unsubscribe

    def report(self, component: str, deployment: str, *, accepted: bool, message: str) -> None:
        """Take an answer. Raises UnknownRequestError if none is waited for."""
        answer = self._answers.get(component) if deployment == self._deployment else None
        if answer is None or answer.done():
            raise host.UnknownRequestError(
                f"cannot take the report of {component}: nothing is to be validated for "
                f"deployment {deployment}, or it is too late"
            )
        answer.set_result(None if accepted else message or "it gave no reason")

    # For the deployment

    async def ask(
        self, deployment: str, proposed: Mapping[str, Mapping[str, Any]], limit: float
    ) -> None:
        """Return when all subscribers among these components accept their configuration.

        If it is withdrawn, return at once.

        `proposed` holds whole configurations that differ from the present ones. Components that
        have not subscribed are not asked and not waited for. Raises RejectedError if one rejects
        or does not answer within the limit (seconds).
        """
        loop = asyncio.get_running_loop()
        asked = sorted(self._subscribers.keys() & proposed.keys())
        self._deployment, self.withdrawn = deployment, False
        self._answers = {component: loop.create_future() for component in asked}
        try:
            for component in asked:
                self._subscribers[component](deployment, proposed[component])
            if self._answers:
                await asyncio.wait(self._answers.values(), timeout=limit)
            self._check(limit)
        finally:
            self._answers = {}

    def withdraw(self, deployment: str) -> None:
        """Wait for no answer any more."""
        if deployment == self._deployment:
            self.withdrawn = True
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_result(None)

    def _check(self, limit: float) -> None:
        for component, answer in self._answers.items():
            if not answer.done():
                raise RejectedError(
                    f"cannot change the configuration of {component}: it did not say within "
                    f"{limit:g} s whether it accepts it; see its log"
                )
            if (reason := answer.result()) is not None:
                raise RejectedError(
                    f"cannot change the configuration of {component}: it rejects it: {reason}"
                )
