"""What a device may read: the components of its deployments and what these depend on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from verge.cloud import ports
from verge.cloud.greengrass import arns, components, history, public
from verge.recipe import versions

Target = tuple[str, str]
"""Kind and name."""
Closure = frozenset[tuple[str, str]]
"""Names and versions; `_ANY` for a name that is named, whether or not a version fits."""

_ANY = ""


class Reach:
    """Answers for a thing which components its deployments bring.

    All revisions count that were not deleted, because a device may roll back to an earlier one.
    What was derived is remembered until a component or a deployment changes: devices of the same
    groups, and there may be thousands, share it.
    """

    def __init__(
        self, *, store: components.Store, deployments: history.Store, things: ports.Things
    ) -> None:
        self._store = store
        self._deployments = deployments
        self._things = things
        self._lock = threading.Lock()
        self._known: dict[Target, Closure] = {}
        self._generation = (-1, -1)

    def may_read(self, thing: str, bucket: str, key: str) -> bool | None:
        """See ports.CoreDevices."""
        owners = self._store.owners(bucket, key)
        if not owners:
            return None
        return any(not closure.isdisjoint(owners) for closure in self._closures(thing))

    def may_resolve(self, thing: str, component: str) -> bool:
        """See ports.CoreDevices. What AWS provides is open to all."""
        if component in public.names():
            return True
        return any((component, _ANY) in closure for closure in self._closures(thing))

    def targets(self, thing: str, kind: str, target: str) -> bool:
        """Return whether deployments for a target are also for the thing."""
        return (kind, target) in self._targets(thing)

    def _closures(self, thing: str) -> Iterator[Closure]:
        return map(self._closure, self._targets(thing))

    def _closure(self, target: Target) -> Closure:
        with self._lock:
            generation = (self._store.generation, self._deployments.generation)
            if generation != self._generation:
                self._known.clear()
                self._generation = generation
            if target not in self._known:
                self._known[target] = self._derive(target)
            return self._known[target]

    def _targets(self, thing: str) -> list[Target]:
        groups = self._things.groups_of(thing)
        names = {name for group in groups for name in (group.name, *group.parents)}
        return [(arns.THING, thing), *((arns.THING_GROUP, name) for name in sorted(names))]

    def _derive(self, target: Target) -> Closure:
        """Follow dependencies; each brings every version that its requirement allows."""
        found: set[tuple[str, str]] = set()
        pending = list(self._deployments.roots(*target))
        while pending:
            name, version = pending.pop()
            if (name, version) in found:
                continue
            found |= {(name, version), (name, _ANY)}
            registered = self._store.find(name, version)
            needs = registered.recipe.dependencies if registered else {}
            for needed, dependency in needs.items():
                found.add((needed, _ANY))
                wanted = versions.Requirement.parse(dependency.requirement)
                pending.extend((needed, fit) for fit in self._fitting(needed, wanted))
        return frozenset(found)

    def _fitting(self, name: str, wanted: versions.Requirement) -> list[str]:
        return [version for version in self._store.deployable(name) if wanted.allows(version)]
