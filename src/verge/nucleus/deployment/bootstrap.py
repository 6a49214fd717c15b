"""Bootstrap steps: once for a new version, before anything of it is activated (contract 2.7)."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from verge.nucleus import logs
from verge.nucleus.deployment import failures
from verge.nucleus.lifecycle import definition, once, runner
from verge.nucleus.store import packages, state
from verge.recipe import graph

log = logs.Logger("bootstrap")


class Wish(IntEnum):
    """What a bootstrap step may ask for with its exit code, which the nucleus then ends with."""

    NOTHING = 0
    RESTART = 100
    REBOOT = 101


class Bootstrapper:
    """Runs bootstrap steps."""

    def __init__(
        self,
        surroundings: runner.Surroundings,
        store: packages.PackageStore,
        make_token: Callable[[], str],
    ) -> None:
        self._around = surroundings
        self._store = store
        self._make_token = make_token

    async def run(self, installed: state.Installed) -> Wish:
        """Run the step of one component and return what it asks for. Raises DeploymentError."""
        defined = definition.define(installed)
        step = defined.steps.bootstrap
        if step is None:
            return Wish.NOTHING
        log.info("Bootstrap begun", component=installed.name, version=installed.version)
        if not self._store.is_linked(installed.name, installed.version):
            self._store.link(installed)
        outcome = await once.run(self._around, defined, "bootstrap", step, self._make_token())
        if outcome.code not in set(Wish):
            raise _failed(installed, outcome)
        log.info("Bootstrap ended", component=installed.name, code=outcome.code)
        return Wish(outcome.code)


def due(before: state.DeviceState, after: state.DeviceState) -> list[str]:
    """Return the components whose bootstrap step has to run, dependencies first."""
    order = graph.order_components(
        {
            name: [d for d in c.dependencies if d in after.components]
            for name, c in after.components.items()
        }
    )
    return [name for name in order if _is_due(before.components.get(name), after.components[name])]


def _is_due(before: state.Installed | None, after: state.Installed) -> bool:
    new = definition.define(after).steps.bootstrap
    if new is None:
        return False
    if before is None or before.version != after.version:
        return True
    return definition.define(before).steps.bootstrap != new


def _failed(installed: state.Installed, outcome: once.Outcome) -> failures.DeploymentError:
    text = "\n".join(
        [f"{installed.name} {installed.version}: {outcome.reason}"]
        + [f"  {line}" for line in outcome.lines]
    )
    return failures.DeploymentError(text, "COMPONENT_BOOTSTRAP_ERROR", "USER_COMPONENT_ERROR")
