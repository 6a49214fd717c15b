"""All components together: who may start, who has to wait, who goes first at the end."""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum

from verge.nucleus import logs
from verge.nucleus.lifecycle import definition, once, reaper, runner, states
from verge.nucleus.lifecycle.states import State

TOKEN_LENGTH = 16
SHUTDOWN_LIMIT = 30.0
"""Seconds that all components together have to stop (contract 2.6)."""

log = logs.Logger("supervisor")


class Reaction(Enum):
    """What a changed definition asks of its component (contract 2.8)."""

    NONE = "adopt it at the next start"
    RESTART = "restart"
    REINSTALL = "install and start again"


class Supervisor:
    """Owns one runner for every component."""

    def __init__(
        self,
        surroundings: runner.Surroundings,
        adopted: Callable[[definition.Definition], None],
        built_in: Collection[str] = (),
    ) -> None:
        self._around = surroundings
        self._adopted = adopted
        self._built_in = frozenset(built_in)
        self.revoked: Callable[[str], None] = lambda _name: None
        """Called when the token of a component is worth nothing any more."""
        self._runners: dict[str, runner.Runner] = {}
        self._loop = asyncio.get_running_loop()
        self._news: set[str] = set()
        self._lost: set[str] = set()
        """Who was at work when one of its HARD dependencies was not ready."""
        self._waiters: set[asyncio.Future[None]] = set()
        self._closing = False

    @property
    def runners(self) -> Mapping[str, runner.Runner]:
        """The components by name."""
        return self._runners

    def owner_of(self, token: str) -> str | None:
        """Return the component a token belongs to."""
        found = None
        for one in self._runners.values():
            if secrets.compare_digest(one.token.encode(), token.encode()):
                found = one.name
        return found

    # Changes

    def take_over(self, definitions: Iterable[definition.Definition]) -> None:
        """Know all components, without starting any."""
        for defined in definitions:
            self._add(defined)

    def start_all(self) -> None:
        """Start all components, each as soon as its HARD dependencies are ready."""
        for one in list(self._runners.values()):
            one.machine.start()

    def change(self, changes: Mapping[str, tuple[definition.Definition, Reaction]]) -> None:
        """Put new definitions into force; new components start, changed ones react."""
        fresh: list[runner.Runner] = []
        for name, (defined, _) in changes.items():
            if name in self._runners:
                self._runners[name].next_definition = defined
                self._runners[name].limit(defined)
            else:
                fresh.append(self._add(defined))
        for name, (_, reaction) in changes.items():
            one = self._runners[name]
            if one in fresh:
                continue
            if reaction is Reaction.NONE:
                one.machine.redefined()
            elif reaction is Reaction.REINSTALL or one.state is State.BROKEN:
                one.machine.reinstall()
            else:
                one.machine.restart()
        for one in fresh:
            one.machine.start()

    async def remove(self, names: Collection[str]) -> None:
        """Stop components, dependents first, uninstall and forget them."""
        leaving = [self._runners[name] for name in names if name in self._runners]
        for one in leaving:
            one.leaving = True
            one.machine.stop()
        await self.until(lambda: all(one.machine.at_rest for one in leaving))
        for one in leaving:
            await once.uninstall(self._around, one.definition, one.token)
            one.close()
            self._runners.pop(one.name, None)
            self.revoked(one.name)

    def limit_all(self) -> None:
        """Give every component its limits again, because the default ones have changed."""
        for one in self._runners.values():
            one.limit(one.next_definition or one.definition)

    async def stop_all(self, limit: float = SHUTDOWN_LIMIT) -> None:
        """Stop everything in reverse dependency order; kill what is left after the limit."""
        self._closing = True
        for one in self._runners.values():
            one.machine.stop()
        try:
            async with asyncio.timeout(limit):
                await self.until(lambda: all(o.machine.at_rest for o in self._runners.values()))
        except TimeoutError:
            late = [name for name, one in self._runners.items() if not one.machine.at_rest]
            log.warning("Components did not stop in time", components=", ".join(late), limit=limit)
        tokens = [one.token for one in self._runners.values()]
        await reaper.end(lambda: reaper.find((), tokens), grace=0)
        for one in self._runners.values():
            one.close()

    async def until(self, reached: Callable[[], bool], deadline: float | None = None) -> bool:
        """Wait for a condition, looking again after every change of any component.

        With a deadline (time of the loop), return there whether it is reached or not.
        """
        while not reached():
            if deadline is not None and self._loop.time() >= deadline:
                await asyncio.sleep(0)  # who asks again and again must not stop everybody else
                return False
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.add(waiter)
            timer = None
            if deadline is not None:
                timer = self._loop.call_at(deadline, _resolve, waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
                if timer:
                    timer.cancel()
        return True

    def wake(self) -> None:
        """Let everyone who waits look again."""
        for waiter in list(self._waiters):
            _resolve(waiter)

    def _add(self, defined: definition.Definition) -> runner.Runner:
        one = runner.Runner(self._placed(defined), make_token(), self._around, self)
        self._runners[defined.name] = one
        return one

    def _placed(self, defined: definition.Definition) -> definition.Definition:
        """Point the component's paths at its content; if that fails, so does its install step."""
        try:
            self._adopted(defined)
        except OSError as error:
            return definition.misplaced(defined, error)
        return defined

    # Neighbours

    def dependencies_ready(self, name: str) -> bool:
        """Return whether every HARD dependency is ready; at the end nothing starts any more."""
        if self._closing:
            return False
        return all(
            dependency in self._built_in
            or (dependency in self._runners and self._runners[dependency].machine.ready)
            for dependency in self._runners[name].definition.hard_dependencies
        )

    def dependents_closed(self, name: str) -> bool:
        """Return whether no HARD dependent is at work."""
        return not any(one.state in states.ACTIVE for one in self._dependents(name))

    def _dependents(self, name: str) -> list[runner.Runner]:
        return [one for one in self._runners.values() if name in one.definition.hard_dependencies]

    def changed(self, one: runner.Runner, former: State) -> None:
        """Tell the neighbours, once the present event is dealt with."""
        if not self._news:
            self._loop.call_soon(self._tell)
        self._news.add(one.name)
        if not one.machine.ready:
            # It may be ready again by the time they are told.
            self._lost.update(
                other.name for other in self._dependents(one.name) if other.state in states.STARTED
            )

    def adopted(self, one: runner.Runner) -> None:
        """Point the component's paths at its new content."""
        one.definition = self._placed(one.definition)

    def _tell(self) -> None:
        news, self._news = self._news, set()
        lost, self._lost = self._lost, set()
        for name in sorted(news):
            for other in () if self._closing else self._dependents(name):
                other.machine.dependencies_changed(lost=other.name in lost)
            if name in self._runners:
                for dependency in self._runners[name].definition.hard_dependencies:
                    if dependency in self._runners:
                        self._runners[dependency].machine.dependents_changed()
        self.wake()


def make_token() -> str:
    """Return a new SVCUID: 16 upper-case characters."""
    alphabet = string.ascii_uppercase + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(TOKEN_LENGTH))


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
