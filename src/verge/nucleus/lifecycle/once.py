"""Runs a step outside a component's life: before it is installed, or after it was removed."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from verge.nucleus import logs
from verge.nucleus.lifecycle import (
    confinement,
    definition,
    environment,
    process,
    reaper,
    runner,
    users,
)
from verge.nucleus.lifecycle.component import Step
from verge.recipe import lifecycle


@dataclass(frozen=True)
class Outcome:
    """How a step ended: its exit code, None if it was not launched or took too long."""

    code: int | None
    reason: str
    lines: tuple[str, ...] = ()


async def run(
    around: runner.Surroundings,
    defined: definition.Definition,
    name: str,
    step: lifecycle.Step,
    token: str,
    more: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a step to its end, all its processes included, with `more` in its environment.

    It has the resource limits of its component.
    """
    confined = confinement.Confinement(around.groups, defined.name, f"{defined.name}@{name}")
    log = logs.Writer(
        logs.LogFile(around.settings.paths.logs, defined.name, around.settings.logging),
        around.settings.logging.format,
    )
    ended: asyncio.Future[process.Exit] = asyncio.get_running_loop().create_future()
    lines: collections.deque[str] = collections.deque(maxlen=runner.KEPT_LINES)

    def keep(stream: str, line: bytes) -> None:
        text = line.rstrip(b"\r").decode("utf-8", "replace")
        lines.append(text[: runner.KEPT_LINE_LENGTH])
        level = "INFO" if stream == "stdout" else "WARN"
        script = f"services.{defined.name}.lifecycle.{name}"
        fields = {"scriptName": script, "serviceName": defined.name}
        log.event(level, defined.name, text, kind=stream, fields=fields)

    try:
        limits = confinement.limits_of(defined, around.settings)
        command = _command(around, defined, step, token, more or {}, confined.prepare(limits))
        launched = process.Process(command, process.Watch(line=keep, exited=ended.set_result))
    except (OSError, ValueError, users.UserError) as error:
        log.close()
        confined.remove()
        return Outcome(None, f"cannot launch {name}: {error}")
    around.journal.add(launched.pid, token)
    try:
        async with asyncio.timeout(step.timeout):
            found = await ended
    except TimeoutError:
        return Outcome(None, f"{name} did not end within {step.timeout:g} s", tuple(lines))
    finally:
        await reaper.end(lambda: reaper.find([launched.pid], [token]))
        launched.release()
        confined.remove()
        log.close()
    return Outcome(found.code, f"{name} {found}", tuple(lines))


async def uninstall(
    around: runner.Surroundings, defined: definition.Definition, token: str
) -> None:
    """Run the uninstall step of a removed component; a failure of it is logged (contract 1.7)."""
    log = logs.Logger("lifecycle")
    if fault := defined.faults.get(Step.UNINSTALL):
        log.warning(
            "Uninstall failed", component=defined.name, code=fault.code, reason=fault.reason
        )
    step = defined.step(Step.UNINSTALL)
    if step is None:
        return
    version = {"GREENGRASS_COMPONENT_VERSION": defined.installed.version}
    outcome = await run(around, defined, "uninstall", step, token, version)
    if outcome.code != 0:
        late = outcome.code is None and "did not end" in outcome.reason
        code = definition.too_slow(Step.UNINSTALL) if late else definition.failed(Step.UNINSTALL)
        log.warning("Uninstall failed", component=defined.name, code=code, reason=outcome.reason)


def _command(
    around: runner.Surroundings,
    defined: definition.Definition,
    step: lifecycle.Step,
    token: str,
    more: Mapping[str, str],
    confine: Callable[[int], None] | None,
) -> process.Command:
    configured, installed = around.settings, defined.installed
    owner = users.choose(installed.posix_user, configured.posix_user)
    user = users.current() if step.requires_privilege else owner
    directory = configured.paths.work(installed.name)
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True)
    users.give(directory, owner)
    if installed.content:
        users.give(configured.paths.contents / installed.content, owner)
    return process.Command(
        script=step.script,
        directory=directory,
        environment=environment.build(
            configured,
            around.socket,
            token,
            user,
            around.given(installed),
            more,
            defined.steps.setenv,
            step.setenv,
        ),
        user=user,
        shell=configured.posix_shell,
        prepare=confine,
    )
