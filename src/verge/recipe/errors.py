"""What goes wrong with a recipe, with the place where it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self


class RecipeError(ValueError):
    """Says in one sentence what is wrong, in which file and where in it.

    `source` is the file as the caller named it ("" where there is none), `path` the place in it
    (`Manifests/0/Artifacts/1/Unarchive`, "" for the whole) and `reason` the sentence.
    """

    def __init__(self, reason: str, *, path: str = "", source: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path
        self.source = source

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.path, self.reason) if part)

    def located(self, *, path: str = "", source: str = "") -> Self:
        """Return this error, placed under `path` of `source` unless it names a source already."""
        self.path = "/".join(part for part in (path, self.path) if part)
        self.source = self.source or source
        return self


class RequirementError(RecipeError):
    """A version or a version range that cannot be read; `text` is what was written."""

    def __init__(self, reason: str, *, text: str = "", path: str = "", source: str = "") -> None:
        super().__init__(reason, path=path, source=source)
        self.text = text


class StepError(RecipeError):
    """A lifecycle step that cannot be used; `step` is its name in lower case."""

    def __init__(self, reason: str, *, step: str = "", path: str = "", source: str = "") -> None:
        super().__init__(reason, path=path, source=source)
        self.step = step


class DependencyCycleError(RecipeError):
    """Components that need one another; `cycle` names them, the first again at the end."""

    def __init__(self, cycle: Sequence[str]) -> None:
        self.cycle = tuple(cycle)
        super().__init__(f"cannot order the components: dependency cycle {' → '.join(self.cycle)}")

    def __reduce__(self) -> tuple[type[DependencyCycleError], tuple[tuple[str, ...]]]:
        return type(self), (self.cycle,)


class MissingDependencyError(RecipeError):
    """A component that needs another which is not there."""

    def __init__(self, component: str, dependency: str) -> None:
        self.component = component
        self.dependency = dependency
        super().__init__(
            f"cannot find {dependency}, which {component} depends on; "
            "add that component or remove the dependency"
        )

    def __reduce__(self) -> tuple[type[MissingDependencyError], tuple[str, str]]:
        return type(self), (self.component, self.dependency)
