"""Which version of which component a device gets (Greengrass contract 3.5). Pure."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from verge.nucleus.deployment import failures
from verge.recipe import errors, graph, versions

Version = versions.Version

MAX_STEPS = 100_000
"""Decisions after which a search is given up; a real fleet needs about one for each component."""


@dataclass(frozen=True)
class Candidate:
    """A version that could be taken, and what it depends on: name → range."""

    version: Version
    dependencies: Mapping[str, str]


Candidates = Callable[[str, Mapping[str, str]], Iterable[Candidate]]
"""Returns what is at hand of a component, given who asks for what of it: requester → range.

It may be called again with other requirements, and then return further versions."""


@dataclass(frozen=True)
class Request:
    """Everything that decides the outcome."""

    roots: Mapping[str, Mapping[str, str]]
    """Group → component → range or exact version."""
    candidates: Candidates
    active: Mapping[str, Version]
    """What runs now; it is kept where it fits."""
    built_in: Mapping[str, Version]
    """Components that the nucleus is itself."""
    remedy: str = "add its recipe to the recipe directory"
    """What to do where no version is at hand."""


def resolve(request: Request) -> dict[str, Version]:
    """Return the version of every component that the roots need, themselves included.

    The active version is preferred, then the highest; a choice that leads nowhere is taken back,
    so a solution is found whenever there is one. Raises DeploymentError if there is none, naming
    who asks for what, and DependencyCycleError.
    """
    return _Search(request).run()


@dataclass
class _Decision:
    """A component, the versions that are left to try and who narrowed them down."""

    name: str
    options: list[Candidate | None]
    """Best last; None stands for a component that the nucleus is itself."""
    blamed: set[str]
    added: list[tuple[str, str]] = field(default_factory=list)
    """The requirements that the present choice brought: component and requester."""
    queued: int = 0
    """How many components were known before the present choice."""


class _Search:
    """Decides one component after the other, in the order in which they become known.

    A dead end goes back to the latest decision that had a part in it, over all that had not.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._chosen: dict[str, Candidate | None] = {}
        self._wanted: dict[str, dict[str, str]] = {}
        self._queue: list[str] = []
        self._known: dict[str, dict[Version, Candidate]] = {}
        self._asked: set[tuple[str, frozenset[tuple[str, str]]]] = set()
        self._decisions: list[_Decision] = []
        self._first_error: Exception | None = None
        for group, roots in request.roots.items():
            for name, requirement in roots.items():
                self._want(name, f"group {group}", requirement)

    def run(self) -> dict[str, Version]:
        for _ in range(MAX_STEPS):
            if len(self._decisions) == len(self._queue):
                blamed = self._find_cycle()
                if not blamed:
                    return {name: one.version for name, one in self._chosen.items() if one}
                self._go_back(blamed)
                continue
            decision = self._open(self._queue[len(self._decisions)])
            self._decisions.append(decision)
            if not self._advance(decision):
                self._decisions.pop()
                self._go_back(decision.blamed)
        raise failures.DeploymentError(
            f"cannot settle on versions within {MAX_STEPS} attempts: too many requirements "
            "contradict one another; pin more of the components",
            "NO_AVAILABLE_COMPONENT_VERSION",
            "DEPENDENCY_ERROR",
        )

    def _want(self, name: str, requester: str, requirement: str) -> None:
        if name not in self._wanted:
            self._wanted[name] = {}
            self._queue.append(name)
        self._wanted[name][requester] = requirement

    def _open(self, name: str) -> _Decision:
        requesters = self._wanted[name]
        options: list[Candidate | None]
        if name in self._request.built_in:
            version = self._request.built_in[name]
            options = [None] if _allows_all(requesters, version) else []
            at_hand: Collection[Version] = [version]
        else:
            found = self._candidates(name, requesters)
            active = self._request.active.get(name)
            fitting = [one for version, one in found.items() if _allows_all(requesters, version)]
            options = [*sorted(fitting, key=lambda one: (one.version == active, one.version))]
            at_hand = found
        if not options:
            self._note(self._conflict(name, requesters, at_hand))
        return _Decision(name, options, set(map(_component_of, requesters)))

    def _candidates(self, name: str, requesters: Mapping[str, str]) -> dict[Version, Candidate]:
        known = self._known.setdefault(name, {})
        question = (name, frozenset(requesters.items()))
        if question not in self._asked:
            self._asked.add(question)
            for one in self._request.candidates(name, requesters):
                known.setdefault(one.version, one)
        return known

    def _learn(self, name: str, requesters: Mapping[str, str]) -> dict[Version, Candidate]:
        """Ask again for a component that was decided upon before somebody else asked for it.

        What is new may be tried when the search comes back to that decision.
        """
        former = set(self._known[name])
        found = self._candidates(name, requesters)
        decision = next(one for one in self._decisions if one.name == name)
        decision.options[:0] = [one for version, one in found.items() if version not in former]
        return found

    def _advance(self, decision: _Decision) -> bool:
        """Take the next version that fits those already chosen; return whether there is one."""
        while decision.options:
            option = decision.options.pop()
            hindered = self._hindered_by(decision.name, option)
            if hindered is None:
                self._take(decision, option)
                return True
            decision.blamed.add(hindered)
        return False

    def _hindered_by(self, name: str, option: Candidate | None) -> str | None:
        for dependency, requirement in (option.dependencies if option else {}).items():
            if dependency == name or dependency not in self._chosen:
                continue
            other = self._chosen[dependency]
            version = other.version if other else self._request.built_in[dependency]
            if not _parse(requirement).allows(version):
                requesters = {**self._wanted[dependency], _requester(name, option): requirement}
                at_hand = self._learn(dependency, requesters) if other else [version]
                self._note(self._conflict(dependency, requesters, at_hand))
                return dependency
        return None

    def _take(self, decision: _Decision, option: Candidate | None) -> None:
        self._chosen[decision.name] = option
        decision.queued = len(self._queue)
        decision.added = []
        for dependency, requirement in (option.dependencies if option else {}).items():
            requester = _requester(decision.name, option)
            self._want(dependency, requester, requirement)
            decision.added.append((dependency, requester))

    def _take_back(self, decision: _Decision) -> None:
        del self._chosen[decision.name]
        for dependency, requester in decision.added:
            del self._wanted[dependency][requester]
        for name in self._queue[decision.queued :]:
            del self._wanted[name]
        del self._queue[decision.queued :]

    def _go_back(self, blamed: set[str]) -> None:
        """Change the latest decision that is blamed. Raises the first error if there is none."""
        while self._decisions:
            decision = self._decisions[-1]
            self._take_back(decision)
            if decision.name in blamed:
                decision.blamed |= blamed - {decision.name}
                if self._advance(decision):
                    return
                blamed = decision.blamed
            self._decisions.pop()
        assert self._first_error  # noqa: S101 - every dead end notes one
        raise self._first_error

    def _find_cycle(self) -> set[str]:
        dependencies = {name: tuple(one.dependencies) for name, one in self._chosen.items() if one}
        try:
            graph.order_components(dependencies, provided=self._request.built_in)
        except errors.DependencyCycleError as error:
            self._note(error)
            return set(self._chosen)
        return set()

    def _note(self, error: Exception) -> None:
        self._first_error = self._first_error or error

    def _conflict(
        self, name: str, requesters: Mapping[str, str], at_hand: Iterable[Version]
    ) -> failures.DeploymentError:
        asked = " and ".join(f"{who} asks for {what}" for who, what in requesters.items())
        there = ", ".join(str(version) for version in sorted(at_hand))
        remedy = (
            f"at hand are {there}; change one of these requirements or add a recipe that fits all"
            if there
            else f"no version of it is at hand; {self._request.remedy}"
        )
        return failures.DeploymentError(
            f"cannot find a version of {name} for all who need it: {asked}; {remedy}",
            "NO_AVAILABLE_COMPONENT_VERSION",
            "DEPENDENCY_ERROR",
        )


def _requester(name: str, option: Candidate | None) -> str:
    return f"{name} {option.version}" if option else name


def _component_of(requester: str) -> str:
    return requester.split(" ", 1)[0]


@functools.lru_cache(maxsize=4096)
def _parse(requirement: str) -> versions.Requirement:
    return versions.Requirement.parse(requirement)


def _allows_all(requesters: Mapping[str, str], version: Version) -> bool:
    return all(_parse(requirement).allows(version) for requirement in requesters.values())
