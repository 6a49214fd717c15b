"""Bootstrap steps: once for a new version, before anything of it is activated (contract 2.7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import IntEnum

from verge.nucleus import logs
from verge.nucleus.deployment import failures
from verge.nucleus.lifecycle import definition, environment, process, reaper, runner, users
from verge.nucleus.store import packages, state
from verge.recipe import graph, lifecycle

log = logs.Logger("bootstrap")


class Wish(IntEnum):
    """What a bootstrap step may ask for with its exit code."""

    NOTHING = 0
    RESTART = 100
    REBOOT = 101


class Bootstrapper:
    """Runs bootstrap steps and remembers whether one asked for a restart or a reboot."""

    def __init__(
        self,
        surroundings: runner.Surroundings,
        store: packages.PackageStore,
        make_token: Callable[[], str],
    ) -> None:
        self._around = surroundings
        self._store = store
        self._make_token = make_token
        self.wish = Wish.NOTHING

    async def run_all(self, before: state.DeviceState, after: state.DeviceState) -> None:
        """Run the steps that are due, in dependency order. Raises DeploymentError."""
        order = graph.order_components(
            {
                name: [d for d in c.dependencies if d in after.components]
                for name, c in after.components.items()
            }
        )
        for name in order:
            installed = after.components[name]
            step = definition.define(installed).steps.bootstrap
            if step and _is_due(before.components.get(name), installed):
                await self._run(installed, step)

    async def _run(self, installed: state.Installed, step: lifecycle.Step) -> None:
        log.info("Bootstrap begun", component=installed.name, version=installed.version)
        if not self._store.is_linked(installed.name, installed.version):
            self._store.link(installed)
        token = self._make_token()
        ended: asyncio.Future[process.Exit] = asyncio.get_running_loop().create_future()
        lines: list[str] = []
        try:
            launched = process.Process(
                self._command(installed, step, token),
                process.Watch(
                    line=lambda _, line: lines.append(line.decode("utf-8", "replace")),
                    exited=ended.set_result,
                ),
            )
        except (OSError, ValueError, users.UserError) as error:
            raise _failed(installed, f"cannot launch bootstrap: {error}", lines) from error
        self._around.journal.add(launched.pid, token)
        try:
            async with asyncio.timeout(step.timeout):
                code = (await ended).code
        except TimeoutError:
            reason = f"bootstrap did not end within {step.timeout:g} s"
            raise _failed(installed, reason, lines) from None
        finally:
            await reaper.end(lambda: reaper.find([launched.pid], [token]))
            launched.release()
        if code not in set(Wish):
            raise _failed(installed, f"bootstrap {process.Exit(code)}", lines)
        self.wish = max(self.wish, Wish(code))

    def _command(
        self, installed: state.Installed, step: lifecycle.Step, token: str
    ) -> process.Command:
        configured = self._around.settings
        owner = users.choose(installed.posix_user, configured.posix_user)
        user = users.current() if step.requires_privilege else owner
        directory = configured.paths.work(installed.name)
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True)
        users.give(directory, owner)
        if installed.content:
            users.give(configured.paths.contents / installed.content, owner)
        setenv: Mapping[str, str] = definition.define(installed).steps.setenv
        return process.Command(
            script=step.script,
            directory=directory,
            environment=environment.build(
                configured, self._around.socket, token, user, setenv, step.setenv
            ),
            user=user,
            shell=configured.posix_shell,
        )


def _is_due(before: state.Installed | None, after: state.Installed) -> bool:
    if before is None or before.version != after.version:
        return True
    old, new = definition.define(before), definition.define(after)
    return old.steps.bootstrap != new.steps.bootstrap


def _failed(installed: state.Installed, reason: str, lines: list[str]) -> failures.DeploymentError:
    text = "\n".join(
        [f"{installed.name} {installed.version}: {reason}"]
        + [f"  {line}" for line in lines[-runner.KEPT_LINES :]]
    )
    return failures.DeploymentError(text, "COMPONENT_BOOTSTRAP_ERROR", "USER_COMPONENT_ERROR")
