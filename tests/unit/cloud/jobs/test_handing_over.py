"""A job is kept at once and handed to its things some at a time, by this process or a later one."""

from __future__ import annotations

import collections

import pytest

from tests.unit.cloud.jobs import plant
from verge.cloud.jobs import schedule, states

MANY = 2 * schedule.BATCH + 5


@pytest.fixture
def fleet(line: plant.Plant) -> plant.Plant:
    """Return the plant with a line that takes more than two turns to tell."""
    line.things.add("line", *(f"press-{n}" for n in range(1, MANY + 1)))
    line.look()
    return line


EACH = {f"press-{n}": 1 for n in range(1, MANY + 1)}


def told(fleet: plant.Plant) -> collections.Counter[str]:
    """Count, and forget, how often each thing was told that its first execution is next."""
    sent, fleet.bus.sent = fleet.bus.sent, []
    return collections.Counter(
        topic.split("/")[2]
        for topic, payload in sent
        if "/notify-next" in topic and payload.get("execution", {}).get("executionNumber") == 1
    )


def test_a_job_is_kept_before_anybody_is_told(fleet: plant.Plant) -> None:
    """Whoever creates a job has the answer while all of its things still wait for theirs."""
    fleet.keep()
    assert fleet.engine.status("job") == states.IN_PROGRESS
    assert fleet.statuses() == {}
    assert fleet.bus.take() == []
    fleet.tell()
    assert told(fleet) == EACH
    assert fleet.statuses() == dict.fromkeys(EACH, states.QUEUED)


def test_others_have_their_turn_in_between(fleet: plant.Plant) -> None:
    """One turn tells so many things and leaves a pause; the last one asks for no further turn."""
    fleet.keep()
    turns = [(fleet.look(), len(fleet.statuses())) for _ in range(3)]
    pause = pytest.approx(schedule.PAUSE, abs=1e-5)
    assert turns == [(pause, schedule.BATCH), (pause, 2 * schedule.BATCH), (None, MANY)]


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_killed_process_leaves_nobody_out(fleet: plant.Plant, turns: int) -> None:
    """What was not told before a kill is told after the next start, and nothing is queued twice."""
    fleet.keep()
    for _ in range(turns):
        fleet.look()
    before = told(fleet)
    fleet.restart()
    fleet.tell()
    assert before + told(fleet) == EACH
    assert fleet.statuses() == dict.fromkeys(EACH, states.QUEUED)


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed"])
def test_who_waits_is_never_told_of_a_cancelled_job(fleet: plant.Plant, killed: bool) -> None:
    """Cancelling ends what was queued and leaves alone those that still waited."""
    fleet.keep()
    fleet.look()
    first = set(told(fleet))
    fleet.engine.cancel("job")
    if killed:
        fleet.restart()
    fleet.tell()
    assert fleet.statuses() == dict.fromkeys(first, states.CANCELED)
    assert told(fleet) == {}


def test_what_was_queued_is_taken_back(fleet: plant.Plant) -> None:
    """A cancelled execution has ended before its thing hears of it, which it does soon."""
    fleet.create()
    fleet.bus.take()
    fleet.engine.cancel("job")
    assert set(fleet.statuses().values()) == {states.CANCELED}
    refused = fleet.report("press-1", "IN_PROGRESS")["rejected"]
    assert refused["executionState"]["status"] == states.CANCELED
    assert fleet.ask("press-2", f"$next/namespace-{plant.NAMESPACE}/get") == {
        "timestamp": int(fleet.now)
    }
    fleet.bus.take()
    fleet.heard.clear()
    fleet.tell()
    assert all(fleet.told(thing, "notify")[0]["jobs"] == {} for thing in EACH)
    heard = {each.thing: each.status for each in fleet.heard}
    assert heard == dict.fromkeys(EACH, states.CANCELED)


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_a_job_that_replaces_another_is_told_last(fleet: plant.Plant, turns: int) -> None:
    """However far the replaced job came, what each thing is told last is the job after it."""
    fleet.keep("old")
    for _ in range(turns):
        fleet.look()
    fleet.engine.cancel("old")
    fleet.keep("new")
    fleet.tell()
    last = {thing: fleet.told(thing)[-1]["execution"]["jobId"] for thing in EACH}
    assert last == dict.fromkeys(EACH, "new")
