"""What the tests of the jobs service stand on: the engine, its doubles and a clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support import cloud_doubles as doubles
from tests.support import cloud_http
from verge.cloud import database, jobs, ports, settings
from verge.cloud.jobs import schedule

START = 1_700_000_000.25
NAMESPACE = ports.GREENGRASS_NAMESPACE
LINE = doubles.group_arn("line")


class Plant:
    """An engine whose time the test moves; `restart` is what SIGKILL and a new start leave."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = START
        self.things = doubles.Registry()
        self.things.add("line", "press-1", "press-2", "press-3")
        self.restart()

    def restart(self) -> None:
        """Forget all that is not in the database."""
        self.bus = doubles.Bus()
        self.database = database.Database(self.path, [jobs.SCHEMA])
        self.engine = jobs.Engine(
            database=self.database,
            things=self.things,
            bus=self.bus,
            settings=settings.Settings(state=self.path.parent),
            clock=self.clock,
        )
        self.heard: list[ports.ExecutionStatus] = []
        self.engine.on_execution(self.heard.append)
        self.engine.connect()

    def clock(self) -> float:
        """Return the time the test has set."""
        return self.now

    def wait(self, seconds: float) -> float | None:
        """Let time pass; return when something is due next, in seconds from then."""
        self.now += seconds
        return self.look()

    def look(self) -> float | None:
        """Let the engine do what is due."""
        following = self.engine.advance()
        return None if following is None else following - self.now

    def create(self, job_id: str = "job", **members: Any) -> None:
        """Create a job of Greengrass for the line, and tell the things that may be told now."""
        self.keep(job_id, **members)
        self.tell()

    def tell(self) -> None:
        """Tell the things that may be told at this moment, turn by turn."""
        while (following := self.look()) is not None and following < 2 * schedule.PAUSE:
            pass

    def keep(self, job_id: str = "job", **members: Any) -> None:
        """Create a job of Greengrass for the line, and tell nobody yet."""
        values: dict[str, Any] = {
            "id": job_id,
            "targets": (LINE,),
            "document": {"deploymentId": job_id},
            "namespace": NAMESPACE,
            "continuous": True,
            **members,
        }
        self.engine.create(ports.NewJob(**values))

    def ask(self, thing: str, rest: str, payload: Any = None) -> Any:
        """Ask as a device; return the payload of the answer, `rejected` under that key."""
        topic = f"$aws/things/{thing}/jobs/{rest}"
        self.bus.receive(topic, {} if payload is None else payload)
        for answer in self.bus.take(f"{topic}/accepted"):
            return answer
        return {"rejected": self.bus.take(f"{topic}/rejected")[0]}

    def report(self, thing: str, status: str, job_id: str = "job", **members: Any) -> Any:
        """Report on a job as a device."""
        rest = f"{job_id}/namespace-{NAMESPACE}/update"
        return self.ask(thing, rest, {"status": status, **members})

    def delete_execution(self, thing: str, job_id: str = "job") -> None:
        """Delete the first execution of a job on a thing, as a tool does."""
        with cloud_http.serving(self.engine.routes()) as url:
            cloud_http.client("iot", url).delete_job_execution(
                jobId=job_id, thingName=thing, executionNumber=1
            )

    def statuses(self, job_id: str = "job") -> dict[str, str]:
        """Return thing → status."""
        return {each.thing: each.status for each in self.engine.executions_of_job(job_id)}

    def told(self, thing: str, kind: str = "notify-next") -> list[Any]:
        """Return and forget what a thing was told of its Greengrass jobs."""
        return self.bus.take(f"things/{thing}/jobs/{kind}-namespace-{NAMESPACE}")
