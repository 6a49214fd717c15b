"""What a component runs: its steps as they were when it was deployed, and who depends on whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from verge.nucleus.lifecycle import failures, states
from verge.nucleus.lifecycle.component import Step
from verge.nucleus.store import state
from verge.recipe import errors, lifecycle


@dataclass(frozen=True)
class Definition:
    """An installed component, its lifecycle parsed."""

    installed: state.Installed
    steps: lifecycle.Lifecycle
    faults: Mapping[Step, failures.Failure] = field(default_factory=dict)
    """Why steps cannot be used, by step; each fails where it is to be launched (contract 2.5)."""

    @property
    def name(self) -> str:
        """The component's name."""
        return self.installed.name

    @property
    def hard_dependencies(self) -> frozenset[str]:
        """The components it must not run without."""
        return frozenset(name for name, hard in self.installed.dependencies.items() if hard)

    def step(self, step: Step) -> lifecycle.Step | None:
        """Return a step, or None if it is not defined."""
        found: lifecycle.Step | None = getattr(self.steps, step.value)
        return found


def define(installed: state.Installed) -> Definition:
    """Return the definition of an installed component; faults in it are kept, not raised."""
    usable: dict[str, Any] = dict(installed.lifecycle)
    faults: dict[Step, failures.Failure] = {}
    while True:
        try:
            return Definition(installed, lifecycle.parse_lifecycle(usable), faults)
        except errors.StepError as error:
            step = _failing(error.step)
            faults.setdefault(step, failures.Failure(_code(step, "CONFIG_NOT_VALID"), str(error)))
            usable = {key: v for key, v in usable.items() if str(key).lower() != error.step}


def misplaced(defined: Definition, error: OSError) -> Definition:
    """Return a definition whose install step fails because its artifacts are not in place."""
    reason = f"cannot put its artifacts in place: {error}"
    fault = failures.Failure(not_launched(Step.INSTALL), reason)
    return dataclasses.replace(defined, faults={**defined.faults, Step.INSTALL: fault})


def _failing(part: str) -> Step:
    """Return the step that fails for a faulty part of a lifecycle.

    What all steps share fails the first one, and so does bootstrap, which has no codes.
    """
    return Step(part) if part in set(Step) else Step.INSTALL


def no_user(step: Step) -> states.StatusCode:
    """Return the status code for a step without a user to run it as."""
    return _code(step, "MISSING_DEFAULT_RUNWITH")


def not_launched(step: Step) -> states.StatusCode:
    """Return the status code for a step that could not be launched."""
    return _code(step, "IO_ERROR")


def failed(step: Step) -> states.StatusCode:
    """Return the status code for a step that ended with an error."""
    return _code(step, "ERROR")


def too_slow(step: Step) -> states.StatusCode:
    """Return the status code for a step that exceeded its timeout."""
    return _code(step, "TIMEOUT")


def _code(step: Step, kind: str) -> states.StatusCode:
    # Recover has no codes of its own; shutdown and uninstall have two.
    prefix = {Step.RECOVER: "RUN"}.get(step, step.name)
    name = f"{prefix}_{kind}"
    if name not in states.StatusCode.__members__:
        name = f"{prefix}_ERROR"
    return states.StatusCode[name]
