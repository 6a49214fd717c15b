"""When a component counts as healthy after a deployment.

Greengrass calls a `run` component RUNNING as soon as its process is launched (contract 2.2), so a
program that dies at once still makes a deployment succeed. Here it has to show that it works:
it reports RUNNING through UpdateState, its `startup` ends well, or it stays alive for the settle
time. Every error starts the wait again, and a component that becomes BROKEN is a failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from verge.nucleus.lifecycle import runner, supervisor
from verge.nucleus.lifecycle.states import State


@dataclass(frozen=True)
class Fault:
    """Why a component is not healthy, with its last lines of output."""

    component: str
    version: str
    code: str
    reason: str
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.component} {self.version}: {self.reason}"


class Watch:
    """Waits until a set of components is healthy."""

    def __init__(self, all_components: supervisor.Supervisor, settle: float, limit: float) -> None:
        self._supervisor = all_components
        self._settle = settle
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self.cancelled = False

    def cancel(self) -> None:
        """Stop waiting; `wait` returns no fault and `cancelled` is set."""
        self.cancelled = True
        self._supervisor.wake()

    async def wait(self, names: Collection[str]) -> list[Fault]:
        """Return the faults once they are certain, or nothing once all are healthy."""
        end = self._loop.time() + self._limit
        while not self.cancelled:
            present = [self._supervisor.runners[n] for n in names if n in self._supervisor.runners]
            if faults := [fault for one in present if (fault := self._fault(one))]:
                return faults
            waits = [one for one in present if not self._healthy(one)]
            if not waits:
                return []
            if self._loop.time() >= end:
                return [_fault_of(one, _describe(one, self._limit)) for one in waits]
            await self._next_change(waits, end)
        return []

    async def _next_change(self, waits: Collection[runner.Runner], end: float) -> None:
        seen = [(one.state, one.since, one.machine.confirmed) for one in waits]
        settling = [one.since + self._settle for one in waits if self._settles(one)]

        def changed() -> bool:
            now = [(one.state, one.since, one.machine.confirmed) for one in waits]
            return self.cancelled or now != seen or self._doomed(waits)

        await self._supervisor.until(changed, min([*settling, end]))

    def _doomed(self, waits: Collection[runner.Runner]) -> bool:
        return any(self._fault(one) for one in waits)

    def _healthy(self, one: runner.Runner) -> bool:
        if one.machine.closing:
            return False
        if one.state is State.FINISHED or not one.machine.wanted:
            return True
        shown = one.machine.confirmed or self._loop.time() >= one.since + self._settle
        return self._settles(one) and shown

    def _settles(self, one: runner.Runner) -> bool:
        """Return whether time alone makes it healthy; one that is to stop runs in vain."""
        return one.state is State.RUNNING and not one.machine.closing

    def _fault(self, one: runner.Runner) -> Fault | None:
        if one.machine.closing:
            return None
        if one.state is State.BROKEN:
            return _fault_of(one, one.machine.reason)
        if one.state is State.INSTALLED:
            for name in sorted(one.definition.hard_dependencies):
                needed = self._supervisor.runners.get(name)
                if needed and needed.state is State.BROKEN and not needed.machine.closing:
                    return _fault_of(one, f"waits for {name}, which is BROKEN")
        return None


def _fault_of(one: runner.Runner, reason: str) -> Fault:
    return Fault(
        one.name,
        one.definition.installed.version,
        str(one.machine.code),
        reason,
        tuple(one.last_lines),
    )


def _describe(one: runner.Runner, limit: float) -> str:
    return f"is still {one.state} after {limit:g} s"
