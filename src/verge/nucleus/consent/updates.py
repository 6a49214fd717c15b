"""Tells components of an update and lets them put it off (Greengrass contract 3.7)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from verge.nucleus.ipc import host

Tell = Callable[[host.PreUpdate | host.PostUpdate], None]

MILLISECOND = 0.001


class _Round:
    """One question to all subscribers."""

    def __init__(self, deployment: str, asked: set[str]) -> None:
        self.deployment = deployment
        self.open = asked
        self.delays: dict[str, float] = {}
        """Seconds for which components put the update off."""
        self.withdrawn = False
        self._changed = asyncio.Event()

    def answer(self, component: str, delay: float) -> None:
        self.open.discard(component)
        if delay:
            self.delays[component] = delay
        self._changed.set()

    def leave(self, component: str) -> None:
        """Wait no more for a component that has gone."""
        self.open.discard(component)
        self.delays.pop(component, None)
        self._changed.set()

    def withdraw(self) -> None:
        self.withdrawn = True
        self._changed.set()

    async def collect(self, limit: float) -> None:
        """Wait until all have answered; what comes after the time is over comes too late."""
        await self._until(lambda: not self.open, limit)
        self.open.clear()

    async def pause(self) -> None:
        """Wait as long as anybody has asked for who is still there."""
        await self._until(lambda: not self.delays, max(self.delays.values()))

    async def _until(self, reached: Callable[[], bool], limit: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while not (self.withdrawn or reached()):
                    self._changed.clear()
                    await self._changed.wait()


class Updates:
    """Implements `host.Updates`. One deployment asks at a time."""

    def __init__(self) -> None:
        self._subscribers: dict[object, tuple[str, Tell]] = {}
        self._round: _Round | None = None

    # For the components

    def subscribe(self, component: str, tell: Tell) -> host.Unsubscribe:
        """Tell a component of updates from now on."""
        token = object()
        self._subscribers[token] = (component, tell)

        def unsubscribe() -> None:
            del self._subscribers[token]
            if self._round and component not in self._names():
                self._round.leave(component)

        return unsubscribe

    def defer(self, component: str, deployment: str, recheck_after: int | None) -> None:
        """Take an answer: 0 ms = go ahead, more = ask everybody again after that time.

        An answer without a time is no answer, so the deployment waits on (contract 7, 8). Raises
        NotSubscribedError, or UnknownRequestError if nothing was asked or it is too late.
        """
        if component not in self._names():
            raise host.NotSubscribedError(
                f"cannot defer: {component} has not subscribed to component updates"
            )
        now = self._round
        if now is None or now.deployment != deployment or component not in now.open:
            raise host.UnknownRequestError(
                f"cannot defer: deployment {deployment} does not wait for {component}, or no more"
            )
        if recheck_after is not None:
            now.answer(component, recheck_after * MILLISECOND)

    # For the deployment

    async def ask(self, deployment: str, limit: float, *, restarting: bool = False) -> bool:
        """Return True when the update may go ahead, False if it was withdrawn.

        Every round gives all subscribers the limit (seconds) to answer; silence is consent, but
        does not outvote those who put the update off.
        """
        event = host.PreUpdate(deployment, restarting)
        try:
            while names := self._names():
                now = self._round = _Round(deployment, names)
                self._tell(event)
                await now.collect(limit)
                if put_off := bool(now.delays):
                    await now.pause()
                if now.withdrawn or not put_off:
                    return not now.withdrawn
        finally:
            self._round = None
        return True

    def withdraw(self, deployment: str) -> None:
        """Ask no more, because the deployment is cancelled."""
        if self._round and self._round.deployment == deployment:
            self._round.withdraw()

    def finish(self, deployment: str) -> None:
        """Tell all subscribers that the update is over, or was cancelled."""
        self._tell(host.PostUpdate(deployment))

    def _names(self) -> set[str]:
        return {component for component, _ in self._subscribers.values()}

    def _tell(self, event: host.PreUpdate | host.PostUpdate) -> None:
        for _, tell in list(self._subscribers.values()):
            tell(event)
