"""The table of transitions."""

from __future__ import annotations

import pytest

from verge.nucleus.lifecycle import states
from verge.nucleus.lifecycle.states import State


def test_every_state_has_its_ways_out() -> None:
    """Every state is in the table and none is a dead end or leads to itself."""
    assert set(states.TRANSITIONS) == set(State)
    assert all(ways and state not in ways for state, ways in states.TRANSITIONS.items())


@pytest.mark.parametrize("state", list(State))
def test_every_state_can_be_left_for_finished(state: State) -> None:
    """From every state there is a way to FINISHED, so everything can be stopped."""
    reached = {state}
    while fresh := {way for one in reached for way in states.TRANSITIONS[one]} - reached:
        reached |= fresh
    assert State.FINISHED in reached


def test_reports_are_possible_transitions() -> None:
    """What a component may report of itself is a way out of its state, directly or by STOPPING."""
    for state, reported in states.REPORTABLE.items():
        ways = states.TRANSITIONS[state]
        assert all(one in ways or State.STOPPING in ways for one in reported)
