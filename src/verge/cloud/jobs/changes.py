"""What one transaction has changed, and who is to hear of it."""

from __future__ import annotations

from typing import NamedTuple

from verge.cloud.jobs import model, store

Pending = tuple[tuple[str, int], ...]
"""Job ids and execution numbers, in the order in which the thing is to take them."""


class Withdrawn(NamedTuple):
    """An execution that a thing need not begin any more."""

    job_id: str
    thing: str
    namespace: str


class Changes:
    """Collects, inside a transaction, the executions that it changes.

    Call `touch` for a thing before its executions change, so that it can be told what is new.
    """

    def __init__(self, kept: store.Store) -> None:
        self._store = kept
        self._before: dict[tuple[str, str], Pending] = {}
        self.executions: list[model.Execution] = []
        self.withdrawn: list[Withdrawn] = []
        """Executions that ended before their things began them, and that are told of it later."""
        self.wakes = False
        """Whether the changes bring a new deadline, or something to do that nobody waits for."""

    def touch(self, thing: str, namespace: str) -> None:
        """Remember what was pending for a thing."""
        key = (thing, namespace)
        if key not in self._before:
            self._before[key] = self._pending(*key)

    def save(self, execution: model.Execution) -> None:
        """Keep a changed execution."""
        self.touch(execution.thing, execution.namespace)
        self._store.save_execution(execution)
        self.executions.append(execution)
        self.wakes = self.wakes or execution.expires_at is not None

    def withdraw(self, job: model.Job, now: float, *, forced: bool) -> None:
        """End the executions of a job that no device has begun."""
        things = self._store.cancel_queued(job.id, now, forced=forced)
        self.withdrawn += [Withdrawn(job.id, thing, job.namespace) for thing in things]

    def differences(self) -> list[tuple[str, str, bool, bool]]:
        """Return things and namespaces, and whether their list and the job that is next changed."""
        found = []
        for (thing, namespace), before in self._before.items():
            after = self._pending(thing, namespace)
            if set(after) != set(before) or after[:1] != before[:1]:
                changed = set(after) != set(before)
                found.append((thing, namespace, changed, after[:1] != before[:1]))
        return found

    def _pending(self, thing: str, namespace: str) -> Pending:
        return tuple((each.job_id, each.number) for each in self._store.pending(thing, namespace))
