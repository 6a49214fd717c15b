"""Which version of which component a device gets (Greengrass contract 3.5). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from verge.nucleus.deployment import failures
from verge.recipe import graph, versions

Version = versions.Version


@dataclass(frozen=True)
class Candidate:
    """A version that could be taken, and what it depends on: name → range."""

    version: Version
    dependencies: Mapping[str, str]


Candidates = Callable[[str], Iterable[Candidate]]


@dataclass(frozen=True)
class Request:
    """Everything that decides the outcome."""

    roots: Mapping[str, Mapping[str, str]]
    """Group → component → range or exact version."""
    candidates: Candidates
    """The versions at hand of a component."""
    active: Mapping[str, Version]
    """What runs now; it is kept where it fits."""
    built_in: Mapping[str, Version]
    """Components that the nucleus is itself."""


def resolve(request: Request) -> dict[str, Version]:
    """Return the version of every component that the roots need, themselves included.

    Raises DeploymentError if requesters disagree or a component is not at hand, naming both
    sides, and DependencyCycleError.
    """
    chosen: dict[str, Candidate] = {}
    known: dict[str, dict[Version, Candidate]] = {}

    def candidates(name: str) -> dict[Version, Candidate]:
        if name not in known:
            known[name] = {one.version: one for one in request.candidates(name)}
        return known[name]

    # A choice can withdraw earlier requirements or bring new ones, so look until nothing moves.
    for _ in range(1000):
        requirements = _requirements(request, chosen)
        chosen_now = {name: chosen[name] for name in requirements if name in chosen}
        for name, requesters in requirements.items():
            choice = _choose(request, name, requesters, candidates(name))
            if choice and chosen_now.get(name) != choice:
                chosen = {**chosen_now, name: choice}
                break
        else:
            dependencies = {name: tuple(one.dependencies) for name, one in chosen_now.items()}
            graph.order_components(dependencies, provided=request.built_in)
            return {name: one.version for name, one in chosen_now.items()}
    raise failures.DeploymentError(
        "cannot settle on versions: the components' requirements contradict one another in a "
        "circle; pin more of them",
        "NO_AVAILABLE_COMPONENT_VERSION",
        "DEPENDENCY_ERROR",
    )


def _requirements(request: Request, chosen: Mapping[str, Candidate]) -> dict[str, dict[str, str]]:
    """Return component → requester → range, breadth first from the roots."""
    found: dict[str, dict[str, str]] = {}
    for group, roots in request.roots.items():
        for name, requirement in roots.items():
            found.setdefault(name, {})[f"group {group}"] = requirement
    pending = list(found)
    done: set[str] = set()
    while pending:
        name = pending.pop(0)
        if name in done or name not in chosen:
            continue
        done.add(name)
        requester = f"{name} {chosen[name].version}"
        for dependency, requirement in chosen[name].dependencies.items():
            found.setdefault(dependency, {})[requester] = requirement
            pending.append(dependency)
    return found


def _choose(
    request: Request,
    name: str,
    requesters: Mapping[str, str],
    at_hand: Mapping[Version, Candidate],
) -> Candidate | None:
    if name in request.built_in:
        if not _allows_all(requesters, request.built_in[name]):
            raise _conflict(name, requesters, [request.built_in[name]])
        return None
    active = request.active.get(name)
    if active is not None and active in at_hand and _allows_all(requesters, active):
        return at_hand[active]
    fitting = [version for version in at_hand if _allows_all(requesters, version)]
    if not fitting:
        raise _conflict(name, requesters, at_hand)
    return at_hand[max(fitting)]


def _allows_all(requesters: Mapping[str, str], version: Version) -> bool:
    return all(
        versions.Requirement.parse(requirement).allows(version)
        for requirement in requesters.values()
    )


def _conflict(
    name: str, requesters: Mapping[str, str], at_hand: Iterable[Version]
) -> failures.DeploymentError:
    asked = " and ".join(f"{who} asks for {what}" for who, what in requesters.items())
    there = ", ".join(str(version) for version in sorted(at_hand))
    remedy = (
        f"at hand are {there}; change one of these requirements or add a recipe that fits all"
        if there
        else "no version of it is at hand; add its recipe to the recipe directory"
    )
    return failures.DeploymentError(
        f"cannot find a version of {name} for all who need it: {asked}; {remedy}",
        "NO_AVAILABLE_COMPONENT_VERSION",
        "DEPENDENCY_ERROR",
    )
