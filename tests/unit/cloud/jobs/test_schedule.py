"""What becomes of jobs with time: membership, rates, aborts, timeouts, restarts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import cloud_doubles as doubles
from tests.unit.cloud.jobs import plant
from verge.cloud.jobs import criteria, rollout


def crowd(line: plant.Plant, number: int) -> list[str]:
    """Make the line larger; return all its things."""
    line.things.add("line", *(f"press-{n}" for n in range(1, number + 1)))
    return list(line.things.things_in("line"))


# Membership


def test_members_of_child_groups_receive_the_job(line: plant.Plant) -> None:
    """A job for a group reaches the things of the groups below it, each once."""
    line.things.add("cell", "press-1", "robot", parent="line")
    line.create()
    assert sorted(line.statuses()) == ["press-1", "press-2", "press-3", "robot"]


def test_a_thing_that_joins_later_receives_a_continuous_job(line: plant.Plant) -> None:
    """Whoever joins the group of a continuous job is told of it, those who had it are not."""
    line.create()
    line.report("press-1", "SUCCEEDED")
    line.bus.take()
    line.things.add("line", "press-4")
    line.look()
    assert line.statuses()["press-4"] == "QUEUED"
    assert line.told("press-4")[0]["execution"]["jobId"] == "job"
    assert {topic.split("/")[2] for topic, _ in line.bus.sent} == {"press-4"}


def test_a_thing_that_joins_later_does_not_receive_a_snapshot(line: plant.Plant) -> None:
    """A snapshot job is for the things that its targets stood for when it was created."""
    line.create(continuous=False)
    line.things.add("line", "press-4")
    line.look()
    assert "press-4" not in line.statuses()


def test_a_thing_that_leaves_keeps_what_it_began(line: plant.Plant) -> None:
    """Leaving removes a queued execution, tells the thing so, and lets a begun one end."""
    line.create()
    line.report("press-1", "IN_PROGRESS")
    line.bus.take()
    line.things.remove("line", "press-1")
    line.things.remove("line", "press-2")
    line.look()
    assert line.statuses() == {"press-1": "IN_PROGRESS", "press-2": "REMOVED", "press-3": "QUEUED"}
    assert line.told("press-2", "notify")[0]["jobs"] == {}
    line.report("press-1", "SUCCEEDED")
    assert line.statuses()["press-1"] == "SUCCEEDED"


@pytest.mark.parametrize("before", ["QUEUED", "SUCCEEDED"])
def test_a_thing_that_comes_back_receives_the_job_again(line: plant.Plant, before: str) -> None:
    """Coming back brings a new execution, queued in a later second than the former one."""
    line.create()
    former = line.told("press-1")[0]["execution"]
    if before == "SUCCEEDED":
        line.report("press-1", "SUCCEEDED")
    line.things.remove("line", "press-1")
    line.look()
    line.bus.take()
    line.things.add("line", "press-1")
    line.look()
    again = line.told("press-1")[0]["execution"]
    assert (again["jobId"], again["executionNumber"]) == ("job", 2)
    assert again["queuedAt"] > former["queuedAt"]
    assert line.statuses()["press-1"] == "QUEUED"


def test_a_thing_that_comes_back_in_the_middle_goes_on(line: plant.Plant) -> None:
    """A thing that left and came back while it was at the job does not begin it twice."""
    line.create()
    line.report("press-1", "IN_PROGRESS")
    line.things.remove("line", "press-1")
    line.look()
    line.bus.take()
    line.things.add("line", "press-1")
    line.look()
    assert line.bus.take() == []
    line.report("press-1", "SUCCEEDED")
    line.look()
    assert line.statuses()["press-1"] == "SUCCEEDED"


def test_a_deleted_thing_is_removed(line: plant.Plant) -> None:
    """The executions of a thing that no longer exists end, and with them a snapshot job."""
    line.create(continuous=False, targets=(doubles.thing_arn("press-1"),))
    line.things.delete("press-1")
    line.look()
    assert line.statuses() == {"press-1": "REMOVED"}
    assert line.engine.status("job") == "COMPLETED"


def test_a_deleted_thing_ends_what_it_began(line: plant.Plant) -> None:
    """A thing that no longer exists cannot end what it began, so that ends with it."""
    line.create()
    line.report("press-1", "IN_PROGRESS")
    line.things.delete("press-1")
    line.look()
    assert line.statuses()["press-1"] == "REMOVED"


def test_a_snapshot_ends_with_the_last_thing_that_waits(line: plant.Plant) -> None:
    """Things that are deleted before their turn are not waited for."""
    line.create(continuous=False, rollout={"maximumPerMinute": 1})
    (first,) = line.statuses()
    line.report(first, "SUCCEEDED")
    for thing in {"press-1", "press-2", "press-3"} - {first}:
        line.things.delete(thing)
    line.look()
    assert line.engine.status("job") == "COMPLETED"


def test_an_execution_that_was_deleted_stays_away(line: plant.Plant) -> None:
    """Deleting an execution does not bring the job back to a thing that had it."""
    line.create()
    line.report("press-1", "SUCCEEDED")
    line.delete_execution("press-1")
    line.things.add("line", "press-4")
    line.look()
    assert sorted(line.statuses()) == ["press-2", "press-3", "press-4"]


def test_changes_while_the_cloud_was_down_count(line: plant.Plant) -> None:
    """A start looks at the registry once, whatever it missed."""
    line.create()
    line.things.members["line"].add("press-9")
    line.things.things.add("press-9")
    line.restart()
    line.look()
    assert line.statuses()["press-9"] == "QUEUED"


def test_an_empty_snapshot_is_complete(line: plant.Plant) -> None:
    """A snapshot of an empty group has nothing to do, a continuous job waits for things."""
    line.things.add("empty")
    line.create("snap", continuous=False, targets=(doubles.group_arn("empty"),))
    line.create("cont", targets=(doubles.group_arn("empty"),))
    assert line.engine.status("snap") == "COMPLETED"
    assert line.engine.status("cont") == "IN_PROGRESS"


# Rates


def test_a_rate_is_obeyed_in_every_minute(line: plant.Plant) -> None:
    """No more things are told within any minute than the rate allows, and none is forgotten."""
    things = crowd(line, 25)
    line.create(rollout={"maximumPerMinute": 10})
    assert len(line.statuses()) == 10
    told = [(line.now, 10)]
    while len(line.statuses()) < len(things):
        before = len(line.statuses())
        pause = line.look()
        assert pause is not None
        line.wait(pause)
        told.append((line.now, len(line.statuses()) - before))
    for now, _ in told:
        assert sum(number for at, number in told if now - 60 < at <= now) <= 10
    assert line.now == plant.START + 120
    assert line.look() is None


def test_a_rate_survives_a_restart(line: plant.Plant) -> None:
    """A cloud that was killed does not begin its minute anew."""
    crowd(line, 20)
    line.create(rollout={"maximumPerMinute": 10})
    line.restart()
    line.now += 30
    assert line.look() == 30
    assert len(line.statuses()) == 10
    line.restart()
    line.wait(30)
    assert len(line.statuses()) == 20


def test_a_rate_survives_a_clock_that_is_set_back(line: plant.Plant) -> None:
    """Things that were told at a time that is yet to come do not keep the rest waiting for it."""
    crowd(line, 20)
    line.create(rollout={"maximumPerMinute": 10})
    line.now -= 3600
    line.tell()
    assert len(line.statuses()) == 20


def test_a_rate_grows_with_what_was_told(line: plant.Plant) -> None:
    """An exponential rate grows each time its number of things was told, up to the maximum."""
    crowd(line, 100)
    exponential = {
        "baseRatePerMinute": 5,
        "incrementFactor": 2,
        "rateIncreaseCriteria": {"numberOfNotifiedThings": 5},
    }
    line.create(rollout={"exponentialRate": exponential, "maximumPerMinute": 30})
    counts = []
    while (pause := line.look()) is not None:
        counts.append(len(line.statuses()))
        line.wait(pause)
    assert counts == [5, 15, 45, 75]
    assert len(line.statuses()) == 100


def test_a_rate_grows_with_what_succeeded(line: plant.Plant) -> None:
    """A rate that waits for successes stays as it is until they come."""
    things = crowd(line, 30)
    exponential = {
        "baseRatePerMinute": 2,
        "incrementFactor": 3,
        "rateIncreaseCriteria": {"numberOfSucceededThings": 2},
    }
    line.create(rollout={"exponentialRate": exponential})
    line.wait(60)
    assert len(line.statuses()) == 4
    for thing in sorted(line.statuses())[:2]:
        line.report(thing, "SUCCEEDED")
    line.wait(60)
    assert len(line.statuses()) == 4 + 6
    assert len(things) == 30


@pytest.mark.parametrize(
    ("config", "notified", "succeeded", "rate"),
    [
        ({}, 99, 99, None),
        ({"maximumPerMinute": 7}, 99, 99, 7),
        ({"maximumPerMinute": 50, "exponentialRate": {"f": 2, "n": 10}}, 9, 0, 5),
        ({"maximumPerMinute": 50, "exponentialRate": {"f": 2, "n": 10}}, 39, 0, 40),
        ({"maximumPerMinute": 50, "exponentialRate": {"f": 2, "n": 10}}, 40, 0, 50),
        ({"exponentialRate": {"f": 1.5, "n": 1}}, 10**9, 0, 1000),
        ({"exponentialRate": {"f": 1, "n": 1}}, 10**9, 0, 5),
    ],
)
def test_rates(config: dict[str, Any], notified: int, succeeded: int, rate: int | None) -> None:
    """The rate follows from the settings and from what was told and succeeded."""
    if short := config.get("exponentialRate"):
        config = config | {
            "exponentialRate": {
                "baseRatePerMinute": 5,
                "incrementFactor": short["f"],
                "rateIncreaseCriteria": {"numberOfNotifiedThings": short["n"]},
            }
        }
    assert rollout.rate_per_minute(config, notified, succeeded) == rate


# Abort


def test_a_job_that_fails_too_often_is_aborted(line: plant.Plant) -> None:
    """The failure that meets the criterion cancels what was not begun; what was may end."""
    crowd(line, 10)
    criterion = {
        "failureType": "FAILED",
        "action": "CANCEL",
        "thresholdPercentage": 50,
        "minNumberOfExecutedThings": 4,
    }
    line.create(abort={"criteriaList": [criterion]}, rollout={"maximumPerMinute": 8})
    line.report("press-1", "IN_PROGRESS")
    for thing, status in [("press-2", "FAILED"), ("press-3", "REJECTED"), ("press-4", "SUCCEEDED")]:
        line.report(thing, status)
    assert line.engine.status("job") == "IN_PROGRESS"
    line.bus.take()
    line.report("press-5", "FAILED")
    assert line.engine.status("job") == "CANCELED"
    line.tell()
    counts = sorted(line.statuses().values())
    assert counts.count("CANCELED") == 3
    assert line.told("press-6", "notify") == [{"timestamp": int(line.now), "jobs": {}}]
    assert line.wait(120) is None
    assert len(line.statuses()) == 8, "the rest of the group is not told any more"
    assert "rejected" not in line.report("press-1", "SUCCEEDED")


@pytest.mark.parametrize(
    ("failure", "threshold", "minimum", "counts", "aborts"),
    [
        ("ALL", 20, 5, {"FAILED": 1, "SUCCEEDED": 3, "QUEUED": 100}, False),
        ("ALL", 20, 5, {"FAILED": 1, "SUCCEEDED": 4}, True),
        ("ALL", 21, 5, {"FAILED": 1, "SUCCEEDED": 4}, False),
        ("ALL", 60, 5, {"FAILED": 1, "REJECTED": 1, "TIMED_OUT": 1, "SUCCEEDED": 2}, True),
        ("REJECTED", 60, 5, {"FAILED": 3, "REJECTED": 1, "SUCCEEDED": 1}, False),
        ("TIMED_OUT", 100, 1, {"TIMED_OUT": 1, "IN_PROGRESS": 9}, True),
        ("FAILED", 0.5, 1, {"SUCCEEDED": 10, "CANCELED": 5, "REMOVED": 5}, False),
        ("FAILED", 10, 1, {}, False),
    ],
)
def test_criteria(
    failure: str, threshold: float, minimum: int, counts: dict[str, int], aborts: bool
) -> None:
    """A criterion is met by enough ends of which enough are failures of its kind."""
    criterion = {
        "failureType": failure,
        "action": "CANCEL",
        "thresholdPercentage": threshold,
        "minNumberOfExecutedThings": minimum,
    }
    assert (criteria.met({"criteriaList": [criterion]}, counts) is not None) is aborts


# Timeouts


def test_an_execution_times_out(line: plant.Plant) -> None:
    """The time runs from the first report of progress; later ones do not prolong it."""
    line.create(timeout={"inProgressTimeoutInMinutes": 30})
    assert line.look() is None, "what is queued has all the time in the world"
    line.report("press-1", "IN_PROGRESS")
    assert line.look() == 1800
    line.wait(1700)
    line.report("press-1", "IN_PROGRESS", statusDetails={"half": "done"})
    assert line.look() == 100
    line.bus.take()
    line.wait(100)
    assert line.statuses() == {"press-1": "TIMED_OUT", "press-2": "QUEUED", "press-3": "QUEUED"}
    assert line.told("press-1", "notify")[0]["jobs"] == {}
    refused = line.report("press-1", "SUCCEEDED")["rejected"]
    assert refused["executionState"]["status"] == "TIMED_OUT"


def test_a_timeout_survives_a_restart(line: plant.Plant) -> None:
    """A cloud that was away over the time ends the execution when it starts."""
    line.create(timeout={"inProgressTimeoutInMinutes": 1})
    line.report("press-1", "IN_PROGRESS")
    line.restart()
    line.wait(61)
    assert line.statuses()["press-1"] == "TIMED_OUT"
    assert [each.status for each in line.heard] == ["TIMED_OUT"]


def test_a_step_timeout_is_prolonged_and_taken_back(line: plant.Plant) -> None:
    """A device that sets a time for its step must be heard of again within it."""
    line.create()
    line.report("press-1", "IN_PROGRESS", stepTimeoutInMinutes=1)
    line.wait(50)
    line.report("press-1", "IN_PROGRESS", stepTimeoutInMinutes=1)
    assert line.look() == 60
    line.report("press-1", "IN_PROGRESS", stepTimeoutInMinutes=-1)
    assert line.look() is None
    shown = line.ask("press-1", f"job/namespace-{plant.NAMESPACE}/get")["execution"]
    assert "approximateSecondsBeforeTimedOut" not in shown
    line.report("press-1", "IN_PROGRESS", stepTimeoutInMinutes=2)
    line.wait(120)
    assert line.statuses()["press-1"] == "TIMED_OUT"


def test_timeouts_abort(line: plant.Plant) -> None:
    """Silence counts as failure for the criteria that say so, and before more things are told."""
    crowd(line, 4)
    criterion = {
        "failureType": "TIMED_OUT",
        "action": "CANCEL",
        "thresholdPercentage": 100,
        "minNumberOfExecutedThings": 1,
    }
    line.create(
        abort={"criteriaList": [criterion]},
        timeout={"inProgressTimeoutInMinutes": 1},
        rollout={"maximumPerMinute": 1},
    )
    (first,) = line.statuses()
    line.report(first, "IN_PROGRESS")
    line.wait(60)
    assert line.engine.status("job") == "CANCELED"
    assert line.statuses() == {first: "TIMED_OUT"}


# Ends


def test_cancelling_leaves_what_was_begun(line: plant.Plant) -> None:
    """A cancelled job takes no further things, and a device may end what it began."""
    line.create()
    line.report("press-1", "IN_PROGRESS")
    line.engine.cancel("job")
    line.engine.cancel("job")
    line.things.add("line", "press-4")
    line.look()
    assert line.statuses() == {
        "press-1": "IN_PROGRESS",
        "press-2": "CANCELED",
        "press-3": "CANCELED",
    }
    line.report("press-1", "SUCCEEDED")
    assert line.statuses()["press-1"] == "SUCCEEDED"
    assert line.engine.status("job") == "CANCELED"


def test_a_snapshot_job_completes(line: plant.Plant) -> None:
    """A snapshot job is complete with its last execution, a continuous one never."""
    line.create("snap", continuous=False)
    line.create("cont")
    for thing, status in [("press-1", "SUCCEEDED"), ("press-2", "FAILED"), ("press-3", "REJECTED")]:
        assert line.engine.status("snap") == "IN_PROGRESS"
        line.report(thing, status, "snap")
        line.report(thing, status, "cont")
    assert line.engine.status("snap") == "COMPLETED"
    assert line.engine.status("cont") == "IN_PROGRESS"


def test_listeners_hear_every_change(line: plant.Plant) -> None:
    """Other parts are called for each execution that was queued, reported or ended."""
    line.create(targets=(doubles.thing_arn("press-1"),))
    line.report("press-1", "IN_PROGRESS", statusDetails={"a": "b"})
    line.now += 5
    line.report("press-1", "SUCCEEDED")
    assert [each.status for each in line.heard] == ["QUEUED", "IN_PROGRESS", "SUCCEEDED"]
    last = line.heard[-1]
    assert (last.job_id, last.thing, last.details) == ("job", "press-1", {"a": "b"})
    assert (last.queued_at, last.updated_at) == (plant.START, plant.START + 5)
    assert line.engine.executions_of_thing("press-1") == [last]
