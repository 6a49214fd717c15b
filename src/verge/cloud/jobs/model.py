"""Jobs and their executions as the service thinks of them."""

from __future__ import annotations

from typing import Any

import msgspec

from verge.cloud import ports
from verge.cloud.jobs import states


class Job(msgspec.Struct, kw_only=True):
    """A job without its document; times in seconds since the epoch."""

    id: str
    targets: tuple[str, ...]
    namespace: str = ""
    """Empty: none."""
    continuous: bool = False
    status: str = states.IN_PROGRESS
    created_at: float
    updated_at: float
    completed_at: float | None = None
    description: str | None = None
    source: str | None = None
    rollout: dict[str, Any] = {}
    abort: dict[str, Any] = {}
    timeout: dict[str, Any] = {}
    reason_code: str | None = None
    comment: str | None = None
    forced: bool = False


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """A job on one thing; `number` counts how often the thing was given it."""

    job_id: str
    thing: str
    number: int
    namespace: str
    status: str
    details: dict[str, str]
    queued_at: float
    started_at: float | None
    updated_at: float
    version: int
    deadline: float | None
    step_deadline: float | None
    forced: bool

    @property
    def expires_at(self) -> float | None:
        """When the execution times out, unless something is heard before."""
        deadlines = [each for each in (self.deadline, self.step_deadline) if each is not None]
        return min(deadlines) if self.status == states.IN_PROGRESS and deadlines else None

    @property
    def state(self) -> dict[str, Any]:
        """The `executionState` of answers."""
        return {
            "status": self.status,
            "statusDetails": self.details,
            "versionNumber": self.version,
        }

    def shown(self) -> ports.ExecutionStatus:
        """Return it as other parts see it."""
        return ports.ExecutionStatus(
            job_id=self.job_id,
            thing=self.thing,
            status=self.status,
            details=self.details,
            queued_at=self.queued_at,
            updated_at=self.updated_at,
        )
