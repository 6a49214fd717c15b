"""The order of components by their dependencies."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping

from verge.recipe import errors


def order_components(
    dependencies: Mapping[str, Collection[str]], *, provided: Collection[str] = ()
) -> list[str]:
    """Return the components so that each comes after all it depends on, else by name.

    `dependencies` maps a component to those it needs; a recipe's own mapping of dependencies fits.
    `provided` names what is there without being ordered, as the nucleus itself. Raises
    DependencyCycleError, which names one cycle, or MissingDependencyError, which names both sides.
    """
    wanted = _wanted(dependencies, provided)
    missing = {name: len(needs) for name, needs in wanted.items()}
    needed_by = reverse(wanted)
    ready = [name for name, count in missing.items() if not count]
    heapq.heapify(ready)
    ordered: list[str] = []
    while ready:
        name = heapq.heappop(ready)
        ordered.append(name)
        for dependent in needed_by[name]:
            missing[dependent] -= 1
            if not missing[dependent]:
                heapq.heappush(ready, dependent)
    if len(ordered) < len(wanted):
        raise errors.DependencyCycleError(_find_cycle(wanted, set(ordered)))
    return ordered


def reverse(dependencies: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """Return, for each component and each dependency, the components that depend on it."""
    needed_by: dict[str, set[str]] = {name: set() for name in dependencies}
    for name, needs in dependencies.items():
        for need in needs:
            needed_by.setdefault(need, set()).add(name)
    return needed_by


def dependants(dependencies: Mapping[str, Collection[str]], names: Iterable[str]) -> set[str]:
    """Return the components that need one of `names`, directly or through others.

    One of `names` is among them only if it needs another of them.
    """
    needed_by = reverse(dependencies)
    found: set[str] = set()
    pending = list(names)
    while pending:
        fresh = needed_by.get(pending.pop(), set()) - found
        found |= fresh
        pending.extend(fresh)
    return found


def _wanted(
    dependencies: Mapping[str, Collection[str]], provided: Collection[str]
) -> dict[str, set[str]]:
    wanted: dict[str, set[str]] = {}
    for name in sorted(dependencies):
        wanted[name] = {need for need in dependencies[name] if need in dependencies}
        for need in sorted(set(dependencies[name]) - wanted[name]):
            if need not in provided:
                raise errors.MissingDependencyError(name, need)
    return wanted


def _find_cycle(wanted: Mapping[str, set[str]], ordered: set[str]) -> list[str]:
    """Follow unordered dependencies until one comes again; each unordered one has another."""
    name = min(set(wanted) - ordered)
    trail: list[str] = []
    while name not in trail:
        trail.append(name)
        name = min(wanted[name] - ordered)
    cycle = trail[trail.index(name) :]
    start = cycle.index(min(cycle))
    return [*cycle[start:], *cycle[:start], cycle[start]]
