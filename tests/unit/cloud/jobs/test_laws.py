"""What holds in the jobs service after any sequence of events, restarts among them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import stateful, strategies

from tests.unit.cloud.jobs import plant
from verge.cloud.jobs import states

THINGS = ("press-1", "press-2", "press-3", "press-4")
JOBS = ("a", "b", "c")

things = strategies.sampled_from(THINGS)
jobs = strategies.sampled_from(JOBS)


class Events(stateful.RuleBasedStateMachine):
    """Devices, tools, the registry and time do what they can do."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.line = plant.Plant(Path(self.folder.name) / "cloud.db")
        self.created: dict[str, dict[str, Any]] = {}
        self.heads: dict[str, str | None] = dict.fromkeys(THINGS)
        self.ended: dict[tuple[str, str, float], str] = {}

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.line.database.close()
        self.folder.cleanup()

    @stateful.rule(
        job=jobs, continuous=strategies.booleans(), rate=strategies.sampled_from([None, 1, 2])
    )
    def create(self, job: str, continuous: bool, rate: int | None) -> None:
        """A tool creates a job, slow or at once, that takes a minute at most."""
        if job not in self.created:
            self.created[job] = {"continuous": continuous}
            self.line.create(
                job,
                continuous=continuous,
                rollout={"maximumPerMinute": rate} if rate else {},
                timeout={"inProgressTimeoutInMinutes": 1},
            )

    @stateful.rule(job=jobs)
    def cancel(self, job: str) -> None:
        """A tool cancels a job."""
        if job in self.created:
            self.line.engine.cancel(job)
            self.line.tell()

    @stateful.rule(
        thing=things, job=jobs, status=strategies.sampled_from(sorted(states.REPORTABLE))
    )
    def report(self, thing: str, job: str, status: str) -> None:
        """A device reports, whether or not it was asked to."""
        self.line.report(thing, status, job)

    @stateful.rule(thing=things)
    def join(self, thing: str) -> None:
        """A thing joins the group."""
        self.line.things.add("line", thing)
        self.line.look()

    @stateful.rule(thing=things)
    def leave(self, thing: str) -> None:
        """A thing leaves the group."""
        self.line.things.remove("line", thing)
        self.line.look()

    @stateful.rule(seconds=strategies.sampled_from([1, 30, 61]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.line.wait(seconds)

    @stateful.rule()
    def restart(self) -> None:
        """The cloud is killed; the messages it has sent have arrived."""
        self.take_notices()
        self.line.database.close()
        self.line.restart()
        self.line.bus.connect()
        self.line.look()

    def take_notices(self) -> None:
        """Let each device hear what it was told."""
        for thing in THINGS:
            for told in self.line.told(thing):
                self.heads[thing] = told.get("execution", {}).get("jobId")

    @stateful.invariant()
    def devices_know_their_next_job(self) -> None:
        """The last thing a device was told is what it would be answered if it asked."""
        self.take_notices()
        for thing in THINGS:
            asked = self.line.ask(thing, f"$next/namespace-{plant.NAMESPACE}/get")
            assert asked.get("execution", {}).get("jobId") == self.heads[thing], thing

    @stateful.invariant()
    def ends_are_final(self) -> None:
        """An execution that has ended never changes."""
        for job in self.created:
            for each in self.line.engine.executions_of_job(job):
                key = (job, each.thing, each.queued_at)
                assert self.ended.get(key, each.status) == each.status
                if each.status in states.TERMINAL:
                    self.ended[key] = each.status

    @stateful.invariant()
    def jobs_end_when_they_should(self) -> None:
        """A job that has ended hands out nothing, and a complete one has nothing left to do."""
        for job, made in self.created.items():
            status = self.line.engine.status(job)
            pending = {s for s in self.line.statuses(job).values() if s in states.PENDING}
            assert not (status == states.CANCELED and states.QUEUED in pending)
            assert not (status == states.COMPLETED and (pending or made["continuous"]))

    @stateful.invariant()
    def members_have_what_is_theirs(self) -> None:
        """Once no rate holds it back, every member has each continuous job that goes on."""
        members = set(self.line.things.things_in("line"))
        for job, made in self.created.items():
            goes_on = self.line.engine.status(job) == states.IN_PROGRESS
            if made["continuous"] and goes_on and self.line.look() is None:
                assert members <= set(self.line.statuses(job))


Events.TestCase.settings = hypothesis.settings(
    max_examples=25,
    stateful_step_count=20,
    suppress_health_check=list(hypothesis.HealthCheck),
)
TestLaws = Events.TestCase
