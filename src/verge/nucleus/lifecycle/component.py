"""One component's state machine (Greengrass contract 2.1 to 2.4).

The machine knows no process and no clock: what it wants done it asks of `Effects`, and what
happened it is told by methods named for the event. Each of them returns at once, and only
`_move` changes the state, so every order of events can be tried in a test.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Protocol

from verge.nucleus import errors
from verge.nucleus.lifecycle import failures, states
from verge.nucleus.lifecycle.states import State, StatusCode


class Step(StrEnum):
    """The steps of a component's life; bootstrap runs before it is installed."""

    INSTALL = "install"
    STARTUP = "startup"
    RUN = "run"
    SHUTDOWN = "shutdown"
    RECOVER = "recover"
    UNINSTALL = "uninstall"
    """Not run by the machine but after its end."""


class Launch(Enum):
    """What became of a step that was to be launched."""

    LAUNCHED = "launched"
    SKIPPED = "skipped"
    """It is not defined, or its Skipif holds."""


class Effects(Protocol):
    """What the machine asks of its surroundings."""

    def launch(self, step: Step) -> Launch | failures.Failure:
        """Launch a step; its end is told by `exited` or `timed_out`."""

    def end_processes(self) -> None:
        """End every process of the component; told by `processes_ended`, never at once."""

    def dependencies_ready(self) -> bool:
        """Return whether every HARD dependency is ready."""

    def dependents_closed(self) -> bool:
        """Return whether no HARD dependent is at work."""

    def adopt_definition(self) -> None:
        """Put the newest definition into force; nothing of the component runs now."""

    def changed(self, former: State) -> None:
        """Take notice of a new state."""


class Component:
    """A component and its state. Goals are reached step by step as events come in."""

    def __init__(self, name: str, effects: Effects, errors_counted: failures.ErrorCount) -> None:
        self.name = name
        self.state = State.NEW
        self.wanted = False
        """Whether the component is to run (or to have run)."""
        self.confirmed = False
        """Whether it has shown in its present run that it works: UpdateState or startup."""
        self.code = StatusCode.NONE
        self.reason = ""
        self._effects = effects
        self._errors = errors_counted
        self._goal: State | None = None
        self._busy: Step | None = None
        self._ending = False
        self._installed = False
        self._failed_in = State.NEW
        self._shutdown_failed = False

    @property
    def closing(self) -> bool:
        """Whether it is about to leave its state because somebody asked for it."""
        return self._goal is not None

    @property
    def at_rest(self) -> bool:
        """Whether nothing of the component runs and nothing is about to."""
        return (
            self._busy is None
            and not self._ending
            and not self.closing
            and self.state in {State.FINISHED, State.BROKEN, State.NEW, State.INSTALLED}
        )

    @property
    def ready(self) -> bool:
        """Whether a HARD dependent may start (contract 2.6)."""
        # One that stops by itself, because it has done its work, is as good as FINISHED.
        return not self.closing and self.state in states.READY | {State.STOPPING}

    # Requests

    def start(self) -> None:
        """Be at work from now on."""
        self.wanted = True
        if State.FINISHED in {self.state, self._goal}:
            self._request(State.INSTALLED)
        else:
            self._proceed()

    def stop(self) -> None:
        """Be at rest from now on."""
        self.wanted = False
        if self.state is not State.BROKEN:
            self._request(State.FINISHED)

    def restart(self) -> None:
        """Stop and start again; a BROKEN component gets a fresh chance from its install on."""
        self.wanted = True
        if self.state is State.BROKEN:
            self._errors.clear()
        self._request(State.INSTALLED)

    def reinstall(self) -> None:
        """Stop, install and start again, with a clean record."""
        self.wanted = True
        self._errors.clear()
        self._request(State.NEW)

    def redefined(self) -> None:
        """Put a new definition into force: now if nothing runs, else when nothing does."""
        if self.at_rest:
            self._effects.adopt_definition()
            self._proceed()

    # Events

    def dependencies_changed(self, *, lost: bool = False) -> None:
        """Start if that is what was waited for, or stop until they are ready again.

        One that was `lost` meanwhile may be ready again already.
        """
        if self.state is State.INSTALLED:
            self._try_start()
        elif self.state in states.STARTED and (lost or not self._effects.dependencies_ready()):
            self._request(State.INSTALLED)

    def dependents_changed(self) -> None:
        """Go on with a stop that waited for the dependents."""
        if self.closing and self.state in states.STARTED:
            self._pursue()

    def exited(self, step: Step, failure: failures.Failure | None) -> None:
        """A step's process has ended, well if there is no failure."""
        awaited = self._busy is step
        if awaited:
            self._busy = None
        match self.state, step:
            case State.NEW, Step.INSTALL:
                self._end_of_install(failure)
            case ((State.STARTING | State.RUNNING), Step.STARTUP):
                self._end_of_startup(failure)
            case ((State.STARTING | State.RUNNING), Step.RUN):
                self._end_of_run(failure)
            case ((State.STOPPING | State.BROKEN), Step.SHUTDOWN) if awaited:
                self._end_of_shutdown(failure)
            case State.ERRORED, Step.RECOVER:
                self._recovered()
            case _:
                # A process that ends because it was told to is not news.
                return

    def timed_out(self, step: Step, failure: failures.Failure) -> None:
        """A step has taken longer than it may; its processes are still there."""
        if step is Step.STARTUP and self.state is State.RUNNING:
            return  # it reported RUNNING in time and may stay in the foreground
        self.exited(step, failure)

    def reported(self, state: State) -> None:
        """The component says of itself what state it is in (contract 2.3)."""
        if state is State.RUNNING and self.state in states.STARTED:
            self.confirmed = True
            self._effects.changed(self.state)
        if state not in states.REPORTABLE.get(self.state, frozenset()) or self.closing:
            return
        match state:
            case State.RUNNING:
                self._move(State.RUNNING)
            case State.ERRORED if self.state is not State.STOPPING:
                self._fail(failures.Failure(self._error_code(), "the component reported ERRORED"))
            case State.FINISHED if self.state in states.STARTED:
                self._begin_stop()
            case _:
                return

    def processes_ended(self) -> None:
        """Every process of the component is gone."""
        self._ending = False
        self._busy = None
        match self.state:
            case State.STOPPING:
                self._stopped()
            case State.ERRORED | State.NEW:
                self._settle(State.NEW)
            case _ if self.closing:
                self._settle(State.FINISHED)
            case _:
                self._effects.changed(self.state)  # it came to rest, which others may wait for

    # Ends of steps

    def _end_of_install(self, failure: failures.Failure | None) -> None:
        if self._ending:
            return
        if failure:
            self._fail(failure)
        else:
            self._install_done()

    def _install_done(self) -> None:
        self._installed = True
        self._move(State.INSTALLED)
        if self.closing:
            self._pursue()
        else:
            self._try_start()

    def _end_of_startup(self, failure: failures.Failure | None) -> None:
        if failure:
            self._fail(failure)
        elif self.state is State.STARTING:
            self.confirmed = True
            self._move(State.RUNNING)

    def _end_of_run(self, failure: failures.Failure | None) -> None:
        if failure:
            self._fail(failure)
        else:
            self._begin_stop()

    def _end_of_shutdown(self, failure: failures.Failure | None) -> None:
        if failure:
            self._shutdown_failed = True
            if self.state is State.STOPPING:
                self.code, self.reason = failure.code, failure.reason
        self._end_processes()

    # The way to a goal

    def _request(self, goal: State) -> None:
        keep_reinstall = self._goal is State.NEW and goal is State.INSTALLED
        self._goal = State.NEW if keep_reinstall else goal
        self._pursue()

    def _pursue(self) -> None:
        match self.state:
            case State.STARTING | State.RUNNING:
                self._effects.changed(self.state)  # dependents must see that it is closing
                if self.state in states.STARTED and self._effects.dependents_closed():
                    self._begin_stop()
            case State.NEW if self._busy is Step.INSTALL:
                self._end_processes()
            case State.NEW | State.INSTALLED | State.FINISHED | State.BROKEN:
                if self._busy is None and not self._ending:
                    self._settle(State.FINISHED)
            case _:
                return  # STOPPING and ERRORED look at the goal when they are done

    def _settle(self, otherwise: State) -> None:
        """Go where the component is wanted; nothing of it runs now."""
        goal, self._goal = self._goal or otherwise, None
        self._effects.adopt_definition()
        if goal is State.INSTALLED and (not self._installed or self.state is State.BROKEN):
            goal = State.NEW
        if not self.wanted:
            goal = State.FINISHED
        if goal is State.NEW:
            self._installed = False
        if goal is not self.state:
            self._move(goal)
        self._proceed()

    def _proceed(self) -> None:
        if self._busy or self._ending or self.closing:
            return
        if self.state is State.NEW and self.wanted:
            self._install()
        elif self.state is State.INSTALLED:
            self._try_start()

    def _install(self) -> None:
        match self._launch(Step.INSTALL):
            case failures.Failure() as failure:
                self._fail(failure)
            case Launch.SKIPPED:
                self._install_done()

    def _try_start(self) -> None:
        if not (self.wanted and self._effects.dependencies_ready()):
            return
        self._move(State.STARTING)
        if self.state is not State.STARTING or self.closing:
            return
        match self._launch(Step.STARTUP):
            case failures.Failure() as failure:
                self._fail(failure)
            case Launch.SKIPPED:
                self._run()

    def _run(self) -> None:
        match self._launch(Step.RUN):
            case failures.Failure() as failure:
                self._fail(failure)
            case Launch.SKIPPED:
                self._begin_stop()
            case Launch.LAUNCHED:
                self._move(State.RUNNING)

    def _begin_stop(self) -> None:
        self._shutdown_failed = False
        self._busy = None
        self._move(State.STOPPING)
        self._shut_down()

    def _shut_down(self) -> None:
        outcome = self._launch(Step.SHUTDOWN)
        if isinstance(outcome, failures.Failure):
            self._end_of_shutdown(outcome)
        elif outcome is Launch.SKIPPED:
            self._end_processes()

    def _stopped(self) -> None:
        if self._shutdown_failed:
            self._shutdown_failed = False
            self._move(State.ERRORED)
        self._settle(State.FINISHED)

    def _recovered(self) -> None:
        if self._failed_in is State.NEW:
            self._end_processes()
            return
        if self._goal is None:
            self._goal = State.INSTALLED
        self._begin_stop()

    def _end_processes(self) -> None:
        if not self._ending:
            self._ending = True
            self._effects.end_processes()

    def _launch(self, step: Step) -> Launch | failures.Failure:
        outcome = self._effects.launch(step)
        if outcome is Launch.LAUNCHED:
            self._busy = step
        return outcome

    def _fail(self, failure: failures.Failure) -> None:
        self.code, self.reason = failure.code, failure.reason
        self._failed_in = self.state
        self._busy = None
        if self._errors.add(self.state):
            started = self.state in states.STARTED
            self._move(State.BROKEN)
            if started:
                self._shut_down()
            else:
                self._end_processes()
            return
        self._move(State.ERRORED)
        outcome = self._launch(Step.RECOVER)
        if outcome is not Launch.LAUNCHED:
            self._recovered()

    def _error_code(self) -> StatusCode:
        match self.state:
            case State.NEW:
                return StatusCode.INSTALL_ERROR
            case State.STARTING:
                return StatusCode.STARTUP_ERROR
            case _:
                return StatusCode.RUN_ERROR

    def _move(self, state: State) -> None:
        former = self.state
        if state not in states.TRANSITIONS[former]:
            raise errors.NucleusError(
                f"internal error: {self.name} cannot go from {former} to {state}"
            )
        if former in states.COUNTED and state not in {State.ERRORED, State.BROKEN}:
            self._errors.left_well(former)
        if state in {State.STARTING, State.NEW}:
            self.confirmed = False
        if state in {State.RUNNING, State.FINISHED}:
            self.code, self.reason = StatusCode.NONE, ""
        self.state = state
        self._effects.changed(former)
