"""The state machine of one component, without processes."""

from __future__ import annotations

import itertools

import hypothesis
import pytest
from hypothesis import stateful
from hypothesis import strategies as st

from verge.nucleus.lifecycle import component, failures, states
from verge.nucleus.lifecycle.component import Launch, Step
from verge.nucleus.lifecycle.states import State, StatusCode

ERROR = failures.Failure(StatusCode.RUN_ERROR, "run exited with code 1")


class Surroundings:
    """Effects that only take notes; the test plays the processes."""

    def __init__(self, *steps: Step) -> None:
        self.steps = set(steps)
        self.launched: list[Step] = []
        self.refused: failures.Failure | None = None
        self.ending = False
        self.ready = True
        self.closed = True
        self.adopted = 0
        self.history: list[State] = []
        self.now = 0.0
        self.machine = component.Component(
            "com.example.Press", self, failures.ErrorCount(lambda: self.now)
        )

    def state(self) -> State:
        return self.machine.state

    def launch(self, step: Step) -> Launch | failures.Failure:
        if step not in self.steps:
            return Launch.SKIPPED
        if self.refused:
            return self.refused
        self.launched.append(step)
        return Launch.LAUNCHED

    def end_processes(self) -> None:
        assert not self.ending, "processes are ended once at a time"
        self.ending = True

    def dependencies_ready(self) -> bool:
        return self.ready

    def dependents_closed(self) -> bool:
        return self.closed

    def adopt_definition(self) -> None:
        self.adopted += 1

    def changed(self, former: State) -> None:
        if not self.history or self.history[-1] is not self.machine.state:
            self.history.append(self.machine.state)

    def finish_ending(self) -> None:
        assert self.ending
        self.ending = False
        self.machine.processes_ended()

    def settle(self) -> None:
        """Play quick processes until nothing is awaited but the run step."""
        while True:
            if self.ending:
                self.finish_ending()
            elif self.machine.state is State.STOPPING:
                self.machine.exited(Step.SHUTDOWN, None)
            else:
                return


def running(*steps: Step) -> Surroundings:
    around = Surroundings(Step.RUN, *steps)
    around.machine.start()
    if Step.INSTALL in steps:
        around.machine.exited(Step.INSTALL, None)
    assert around.state() is State.RUNNING
    return around


def test_steps_run_in_order() -> None:
    """Install, then run; a run that ends well is followed by shutdown."""
    around = running(Step.INSTALL, Step.SHUTDOWN)
    around.machine.exited(Step.RUN, None)
    around.machine.exited(Step.SHUTDOWN, None)
    around.finish_ending()
    assert around.launched == [Step.INSTALL, Step.RUN, Step.SHUTDOWN]
    assert around.history == [
        State.INSTALLED,
        State.STARTING,
        State.RUNNING,
        State.STOPPING,
        State.FINISHED,
    ]


def test_startup_replaces_run() -> None:
    """With both steps defined, only startup runs; its good end confirms the component."""
    around = Surroundings(Step.STARTUP, Step.RUN)
    around.machine.start()
    assert around.state() is State.STARTING
    around.machine.exited(Step.STARTUP, None)
    assert around.state() is State.RUNNING
    assert around.machine.confirmed
    assert around.launched == [Step.STARTUP]


def test_start_waits_for_dependencies() -> None:
    """A component is installed at once and starts when its dependencies are ready."""
    around = Surroundings(Step.RUN)
    around.ready = False
    around.machine.start()
    assert around.state() is State.INSTALLED
    around.ready = True
    around.machine.dependencies_changed()
    assert around.state() is State.RUNNING


def test_lost_dependency_restarts() -> None:
    """Without its dependency a component stops, waits INSTALLED and starts again."""
    around = running()
    around.ready = False
    around.machine.dependencies_changed()
    around.settle()
    assert around.state() is State.INSTALLED
    around.ready = True
    around.machine.dependencies_changed()
    assert around.state() is State.RUNNING


def test_stop_waits_for_dependents() -> None:
    """A component stops only when its HARD dependents have, and is not ready meanwhile."""
    around = running()
    around.closed = False
    around.machine.stop()
    assert around.state() is State.RUNNING
    assert not around.machine.ready
    around.closed = True
    around.machine.dependents_changed()
    around.settle()
    assert around.state() is State.FINISHED


@pytest.mark.parametrize(
    ("step", "state"), [(Step.INSTALL, State.NEW), (Step.STARTUP, State.STARTING)]
)
def test_third_error_in_one_state_breaks(step: Step, state: State) -> None:
    """Two recoveries are granted in each state, the third error is final."""
    around = Surroundings(step)
    around.machine.start()
    for count in range(3):
        assert around.state() is state
        assert around.launched.count(step) == count + 1
        around.machine.exited(step, ERROR)
        around.settle()
    assert around.state() is State.BROKEN
    assert around.machine.reason == ERROR.reason
    assert around.machine.at_rest


def test_errors_of_different_states_are_counted_apart() -> None:
    """A program that starts well and dies is counted under RUNNING alone."""
    around = Surroundings(Step.STARTUP)
    around.machine.start()
    for _ in range(2):
        around.machine.exited(Step.STARTUP, ERROR)
        around.settle()
    around.machine.exited(Step.STARTUP, None)
    for _ in range(2):
        around.machine.reported(State.ERRORED)
        around.settle()
        around.machine.exited(Step.STARTUP, None)
    assert around.state() is State.RUNNING


def test_error_window_starts_over_after_an_hour() -> None:
    """An error an hour after the former one counts as the first."""
    around = running()
    for _ in range(6):
        around.machine.exited(Step.RUN, ERROR)
        around.settle()
        around.now += failures.RESET_AFTER
    assert around.state() is State.RUNNING


def test_broken_component_gets_a_fresh_chance() -> None:
    """A restart or reinstall of a BROKEN component begins with its install."""
    around = running()
    for _ in range(3):
        around.machine.exited(Step.RUN, ERROR)
        around.settle()
    assert around.state() is State.BROKEN
    around.steps.add(Step.INSTALL)
    around.machine.restart()
    assert around.state() is State.NEW
    assert around.launched[-1] is Step.INSTALL


def test_recover_runs_before_the_restart() -> None:
    """After an error recover runs, then shutdown, then the component starts again."""
    around = running(Step.RECOVER, Step.SHUTDOWN)
    around.machine.exited(Step.RUN, ERROR)
    assert around.state() is State.ERRORED
    around.machine.exited(Step.RECOVER, None)
    around.settle()
    assert around.launched == [Step.RUN, Step.RECOVER, Step.SHUTDOWN, Step.RUN]


def test_failed_shutdown_is_an_error_on_the_way() -> None:
    """A shutdown that fails is shown as ERRORED, then the component goes where it was wanted."""
    around = running(Step.SHUTDOWN)
    around.machine.stop()
    around.machine.exited(Step.SHUTDOWN, ERROR)
    around.finish_ending()
    assert around.history[-3:] == [State.STOPPING, State.ERRORED, State.FINISHED]


def test_shutdown_that_took_too_long_stays_a_timeout() -> None:
    """The end of a shutdown that was cut short does not hide why."""
    around = running(Step.SHUTDOWN)
    around.machine.stop()
    timeout = failures.Failure(StatusCode.SHUTDOWN_TIMEOUT, "shutdown did not end")
    around.machine.timed_out(Step.SHUTDOWN, timeout)
    around.machine.exited(Step.SHUTDOWN, ERROR)
    assert around.machine.code is StatusCode.SHUTDOWN_TIMEOUT
    around.finish_ending()
    assert around.state() is State.FINISHED


def test_new_definition_is_adopted_between_runs() -> None:
    """A definition changes only when nothing of the former one runs."""
    around = running(Step.INSTALL)
    before = around.adopted
    around.machine.reinstall()
    assert around.adopted == before
    around.settle()
    assert around.adopted == before + 1
    assert around.state() is State.NEW


def test_reinstall_is_not_weakened_by_a_restart() -> None:
    """A lost dependency does not turn a wanted reinstall into a restart."""
    around = running(Step.INSTALL)
    around.machine.reinstall()
    around.ready = False
    around.machine.dependencies_changed()
    around.settle()
    assert around.state() is State.NEW


def test_start_overtakes_a_stop() -> None:
    """A component that is wanted again while it stops starts again."""
    around = running()
    around.machine.stop()
    around.machine.start()
    around.settle()
    assert around.state() is State.RUNNING


def test_stop_cuts_an_install_short() -> None:
    """Stopping a component that is being installed ends the install."""
    around = Surroundings(Step.INSTALL)
    around.machine.start()
    around.machine.stop()
    around.settle()
    assert around.state() is State.FINISHED


def test_timeout_of_a_startup_that_reported_running_is_void() -> None:
    """A startup program may stay in the foreground once it has reported RUNNING."""
    around = Surroundings(Step.STARTUP)
    around.machine.start()
    around.machine.reported(State.RUNNING)
    around.machine.timed_out(Step.STARTUP, ERROR)
    assert around.state() is State.RUNNING
    around.machine.exited(Step.STARTUP, ERROR)
    assert around.state() is not State.RUNNING


@pytest.mark.parametrize("state", [State.INSTALLED, State.FINISHED, State.BROKEN])
def test_report_in_a_state_without_reports_is_ignored(state: State) -> None:
    """UpdateState has no effect where the contract lists none."""
    around = Surroundings()
    around.machine.state = state
    around.machine.reported(State.ERRORED)
    assert around.state() is state


ACCEPTED = {
    (State.NEW, State.ERRORED),
    *((State.STARTING, report) for report in (State.RUNNING, State.ERRORED, State.FINISHED)),
    *((State.RUNNING, report) for report in (State.ERRORED, State.FINISHED)),
    *((State.STOPPING, report) for report in (State.ERRORED, State.FINISHED)),
}


def in_state(state: State) -> Surroundings:
    """Return a component that has come to a state in the ordinary way."""
    around = Surroundings(*Step)
    match state:
        case State.FINISHED:
            around.machine.start()
            around.machine.stop()
        case _:
            around.machine.start()
    if state in {State.STARTING, State.RUNNING, State.STOPPING, State.ERRORED}:
        around.machine.exited(Step.INSTALL, None)
    if state in {State.RUNNING, State.STOPPING, State.ERRORED}:
        around.machine.exited(Step.STARTUP, None)
    if state is State.STOPPING:
        around.machine.reported(State.FINISHED)
    if state is State.ERRORED:
        around.machine.reported(State.ERRORED)
    if state is State.FINISHED:
        around.settle()
    if state is State.INSTALLED:
        around.ready = False
        around.machine.exited(Step.INSTALL, None)
    assert around.state() is state
    return around


@pytest.mark.parametrize("report", [State.RUNNING, State.ERRORED, State.FINISHED])
@pytest.mark.parametrize("state", [state for state in State if state is not State.BROKEN])
def test_reported_states(state: State, report: State) -> None:
    """The pairs of contract 2.3 are taken; every other one is ignored without an error."""
    around = in_state(state)
    around.machine.reported(report)
    if (state, report) not in ACCEPTED or state is State.STOPPING:
        assert around.state() is state  # one that stops does what it reports on its way
    elif report is State.FINISHED:
        assert around.state() is State.STOPPING
    else:
        assert around.state() is report


def test_step_that_cannot_be_launched_is_an_error() -> None:
    """A launch that is refused counts like a step that fails."""
    around = Surroundings(Step.RUN)
    around.refused = ERROR
    around.machine.start()
    around.settle()
    assert around.state() is State.BROKEN


class Machine(stateful.RuleBasedStateMachine):
    """Any order of events and requests keeps to the transition table and comes to rest."""

    @stateful.initialize(steps=st.sets(st.sampled_from(list(Step))))
    def begin(self, steps: set[Step]) -> None:
        self.around = Surroundings(*steps)
        self.machine = self.around.machine
        self.machine.start()

    @stateful.rule(step=st.sampled_from(list(Step)), failed=st.booleans())
    def exited(self, step: Step, failed: bool) -> None:
        if step in self.around.launched:
            self.machine.exited(step, ERROR if failed else None)

    @stateful.rule(step=st.sampled_from(list(Step)))
    def timed_out(self, step: Step) -> None:
        if step in self.around.launched:
            self.machine.timed_out(step, ERROR)

    @stateful.rule()
    def ended(self) -> None:
        if self.around.ending:
            self.around.finish_ending()

    @stateful.rule(request=st.sampled_from(["start", "stop", "restart", "reinstall"]))
    def request(self, request: str) -> None:
        getattr(self.machine, request)()

    @stateful.rule(ready=st.booleans(), closed=st.booleans())
    def neighbours(self, ready: bool, closed: bool) -> None:
        self.around.ready, self.around.closed = ready, closed
        self.machine.dependencies_changed()
        self.machine.dependents_changed()

    @stateful.rule(state=st.sampled_from([State.RUNNING, State.ERRORED, State.FINISHED]))
    def reported(self, state: State) -> None:
        self.machine.reported(state)

    @stateful.rule(hours=st.integers(0, 2))
    def later(self, hours: int) -> None:
        self.around.now += hours * 3600

    @stateful.invariant()
    def moves_are_in_the_table(self) -> None:
        if not hasattr(self, "machine"):
            return
        for former, state in itertools.pairwise(self.around.history):
            assert state in states.TRANSITIONS[former]

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        self.around.closed = True
        self.machine.stop()
        for _ in range(20):
            if self.around.ending:
                self.around.finish_ending()
            for step in Step:
                self.machine.exited(step, None)
            self.machine.dependents_changed()
        assert self.machine.at_rest
        assert self.machine.state in {State.FINISHED, State.BROKEN}


TestMachine = Machine.TestCase
TestMachine.settings = hypothesis.settings(max_examples=200, stateful_step_count=30)
