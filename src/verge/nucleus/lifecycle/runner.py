"""Carries out what a component's state machine asks for: processes, timeouts, users, logs."""

from __future__ import annotations

import asyncio
import collections
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from verge.nucleus import logs, settings
from verge.nucleus.lifecycle import (
    component,
    confinement,
    definition,
    environment,
    failures,
    limits,
    process,
    reaper,
    users,
)
from verge.nucleus.lifecycle.component import Launch, Step
from verge.nucleus.lifecycle.states import State
from verge.nucleus.store import state
from verge.recipe import lifecycle

KEPT_LINES = 20
"""Output lines that are kept in memory to go with a failure."""

KEPT_LINE_LENGTH = 500

log = logs.Logger("lifecycle")


@dataclass(frozen=True)
class Surroundings:
    """What all components of a nucleus share."""

    settings: settings.Settings
    socket: Path
    journal: reaper.Journal
    tasks: asyncio.TaskGroup
    clock: Callable[[], float]
    groups: limits.Groups
    given: Callable[[state.Installed], Mapping[str, str]] = lambda _: {}
    """What the nucleus gives a component in its environment besides."""


class Neighbours(Protocol):
    """What the supervisor answers for one component."""

    def dependencies_ready(self, name: str) -> bool:
        """Return whether every HARD dependency is ready."""

    def dependents_closed(self, name: str) -> bool:
        """Return whether no HARD dependent is at work."""

    def changed(self, runner: Runner, former: State) -> None:
        """Take notice of a state."""

    def adopted(self, runner: Runner) -> None:
        """Take notice of a definition in force; nothing of the component runs."""


class Runner:
    """One component: its machine, its definition and its processes. Implements `Effects`."""

    def __init__(
        self,
        defined: definition.Definition,
        token: str,
        surroundings: Surroundings,
        neighbours: Neighbours,
    ) -> None:
        self.definition = defined
        self.next_definition: definition.Definition | None = None
        self.token = token
        self.since = 0.0
        """Time of the loop at which the present state began."""
        self.errors_seen = 0
        """How often it has failed since the nucleus started."""
        self.last_lines: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        self._around = surroundings
        self._confinement = confinement.Confinement(surroundings.groups, defined.name)
        self._neighbours = neighbours
        self._loop = asyncio.get_running_loop()
        self._processes: list[process.Process] = []
        self._sessions: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timed: Step | None = None
        self._owned = False
        self.paused = False
        """Whether its processes are frozen."""
        self.leaving = False
        """Whether it is being removed, and must not start any more."""
        logging = surroundings.settings.logging
        self._log = logs.Writer(
            logs.LogFile(surroundings.settings.paths.logs, defined.name, logging),
            logging.format,
        )
        self._counted = failures.ErrorCount(surroundings.clock, defined.steps.error_reset)
        self.machine = component.Component(defined.name, self, self._counted)

    @property
    def name(self) -> str:
        """The component's name."""
        return self.definition.name

    @property
    def state(self) -> State:
        """The component's state."""
        return self.machine.state

    def close(self) -> None:
        """Close the log and give the control groups back."""
        self._log.close()
        self._confinement.remove()

    def limit(self, defined: definition.Definition) -> None:
        """Give the processes that run the limits of a new definition (contract 2.8)."""
        wanted = self._limits_of(defined)
        try:
            if not wanted:
                self._around.groups.lift(self.name)
                return
            self._around.groups.limit(self.name, wanted)
            # What they start meanwhile is in the groups already.
            self._around.groups.admit(self.name, reaper.find(self._sessions, [self.token]))
        except limits.GroupsError as error:
            self._confinement.warn(error)

    def pause(self) -> None:
        """Freeze all processes where they are. Raises GroupsError."""
        self._around.groups.freeze(
            self.name,
            self._limits_of(self.definition),
            lambda: reaper.find(self._sessions, [self.token]),
        )
        self.paused = True

    def resume(self) -> None:
        """Let frozen processes go on."""
        if self.paused:
            self._around.groups.thaw(self.name)
            self.paused = False

    # Effects

    def launch(self, step: Step) -> Launch | failures.Failure:
        """Launch a step. A paused component is resumed first (contract 2.9)."""
        self.resume()
        if fault := self.definition.faults.get(step):
            return self._refused(fault, step)
        defined = self.definition.step(step)
        if defined is None:
            return Launch.SKIPPED
        try:
            user = self._user(defined)
            if self._skips(defined, user):
                log.info("Step skipped", component=self.name, step=step)
                return Launch.SKIPPED
            self._prepare(user)
            launched = self._spawn(step, defined, user)
        except users.UserError as error:
            return self._refused(failures.Failure(definition.no_user(step), str(error)), step)
        except (OSError, ValueError) as error:
            reason = f"cannot launch {step}: {error}"
            return self._refused(failures.Failure(definition.not_launched(step), reason), step)
        self._processes.append(launched)
        self._sessions.add(launched.pid)
        self._around.journal.add(launched.pid, self.token)
        self._limit(step, defined)
        return Launch.LAUNCHED

    def end_processes(self) -> None:
        """End every process of the component; frozen ones could not end."""
        self.resume()
        self._cancel_timer()
        self._around.tasks.create_task(self._end(), name=f"end {self.name}")

    def dependencies_ready(self) -> bool:
        """Return whether every HARD dependency is ready."""
        return self._neighbours.dependencies_ready(self.name)

    def dependents_closed(self) -> bool:
        """Return whether no HARD dependent is at work."""
        return self._neighbours.dependents_closed(self.name)

    def adopt_definition(self) -> None:
        """Put the newest definition into force."""
        if self.next_definition is not None:
            self.definition, self.next_definition = self.next_definition, None
            self._owned = False
            self.last_lines.clear()
            self._counted.reset_after = self.definition.steps.error_reset
            self._neighbours.adopted(self)

    def changed(self, former: State) -> None:
        """Log a new state and tell the neighbours."""
        if former is not self.state:
            self.since = self._loop.time()
            fields = {"component": self.name, "old": former, "new": self.state}
            if self.state in {State.ERRORED, State.BROKEN}:
                self.errors_seen += 1
                machine = self.machine
                log.warning("State changed", **fields, code=machine.code, reason=machine.reason)
            else:
                log.info("State changed", **fields)
        self._neighbours.changed(self, former)

    # Steps

    def _user(self, step: lifecycle.Step) -> users.Identity:
        if step.requires_privilege:
            return users.current()
        return users.choose(self.definition.installed.posix_user, self._around.settings.posix_user)

    def _skips(self, step: lifecycle.Step, user: users.Identity) -> bool:
        if step.skipif is None:
            return False
        if step.skipif.kind is lifecycle.SkipifKind.ON_PATH:
            search = self._environment(step, user)["PATH"]
            there = shutil.which(step.skipif.argument, path=search) is not None
        else:
            there = (self._directory / step.skipif.argument).exists()
        return there is not step.skipif.negated

    @property
    def _directory(self) -> Path:
        return self._around.settings.paths.work(self.name)

    def _prepare(self, user: users.Identity) -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, parents=True)
        installed = self.definition.installed
        owner = user
        if user.is_current and os.geteuid() == 0:
            # A privileged step works for the component's user, who owns the directories.
            try:
                owner = users.choose(installed.posix_user, self._around.settings.posix_user)
            except users.UserError:
                return
        if not self._owned or user is not owner:
            users.give(self._directory, owner)
            if installed.content:
                users.give(self._around.settings.paths.contents / installed.content, owner)
        # A privileged step may leave files of root behind, so the next one looks again.
        self._owned = not (user.is_current and os.geteuid() == 0)

    def _environment(self, step: lifecycle.Step, user: users.Identity) -> dict[str, str]:
        return environment.build(
            self._around.settings,
            self._around.socket,
            self.token,
            user,
            self._around.given(self.definition.installed),
            self.definition.steps.setenv,
            step.setenv,
        )

    def _spawn(self, step: Step, defined: lifecycle.Step, user: users.Identity) -> process.Process:
        command = process.Command(
            script=defined.script,
            directory=self._directory,
            environment=self._environment(defined, user),
            user=user,
            shell=self._around.settings.posix_shell,
            prepare=self._confinement.prepare(self._limits_of(self.definition)),
        )
        watch = process.Watch(
            line=lambda stream, line: self._line(step, stream, line),
            exited=lambda ended: self._exited(step, ended),
            held_open=lambda: log.warning(
                "Step has ended, but a program it started holds its output open",
                component=self.name,
                step=step,
            ),
        )
        return process.Process(command, watch)

    def _limits_of(self, defined: definition.Definition) -> limits.Limits:
        return confinement.limits_of(defined, self._around.settings)

    def _limit(self, step: Step, defined: lifecycle.Step) -> None:
        self._cancel_timer()
        if defined.timeout is not None:
            self._timed = step
            self._timer = self._loop.call_later(
                defined.timeout, self._timed_out, step, defined.timeout
            )

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    # Events

    def _line(self, step: Step, stream: str, line: bytes) -> None:
        text = line.rstrip(b"\r").decode("utf-8", "replace")
        self.last_lines.append(text[:KEPT_LINE_LENGTH])
        self._log.event(
            "INFO" if stream == "stdout" else "WARN",
            self.name,
            text,
            kind=stream,
            fields={
                "scriptName": f"services.{self.name}.lifecycle.{step}",
                "serviceName": self.name,
                "currentState": self.state,
            },
        )

    def _exited(self, step: Step, ended: process.Exit) -> None:
        if step is self._timed:
            self._cancel_timer()
        failure = None
        if ended.code != 0:
            failure = failures.Failure(definition.failed(step), f"{step} {self._describe(ended)}")
        self.machine.exited(step, failure)

    def _describe(self, ended: process.Exit) -> str:
        limit = self._limits_of(self.definition).memory_kilobytes
        killed = ended.code in {-9, 128 + 9}
        if limit and killed and self._around.groups.ran_out_of_memory(self.name):
            return f"{ended}: it needed more than its memory limit of {limit} kB"
        return str(ended)

    def _timed_out(self, step: Step, limit: float) -> None:
        self._timer = None
        reason = f"{step} did not end within {limit:g} s"
        self.machine.timed_out(step, failures.Failure(definition.too_slow(step), reason))

    def _refused(self, failure: failures.Failure, step: Step) -> failures.Failure:
        log.error("Step not launched", component=self.name, step=step, reason=failure.reason)
        return failure

    async def _end(self) -> None:
        left = await reaper.end(lambda: reaper.find(self._sessions, [self.token]))
        if left:
            log.error("Processes do not end", component=self.name, pids=sorted(left))
        for ended in self._processes:
            ended.release()
        self._processes.clear()
        self._sessions.clear()
        self.machine.processes_ended()
