"""What deployments ask of the cloud. Every method blocks, and is called in a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from verge.nucleus import errors, threads
from verge.nucleus.store import composition
from verge.recipe import model


class OfflineError(errors.NucleusError):
    """The cloud cannot be reached now."""


class Cloud(Protocol):
    """The cloud as deployments see it.

    All methods raise DeploymentError where the cloud says no, and StoppedError when asked to stop.
    """

    def thing_groups(self, stop: threads.Stop) -> frozenset[str]:
        """Return the groups that the device is in. Raises OfflineError."""

    def resolve(
        self,
        component: str,
        requirements: Mapping[str, str],
        local: str | None,
        attributes: Mapping[str, str],
        stop: threads.Stop,
        *,
        patient: bool,
    ) -> str | None:
        """Return the recipe (JSON) of the version that the cloud chooses, None if none fits.

        `local` is the version that would do without the cloud. Raises OfflineError unless
        `patient`, which waits for the cloud to come back.
        """

    def document(self, deployment: str, stop: threads.Stop) -> dict[str, Any]:
        """Return a large device document; waits for the cloud."""

    def fetch(
        self,
        wanted: Sequence[tuple[model.Recipe, composition.Package]],
        check_space: Callable[[Sequence[composition.Package]], None],
        stop: threads.Stop,
    ) -> tuple[list[composition.Package], int]:
        """Return the packages with all their files, and how many bytes came over the network."""

    def clear(self) -> None:
        """Remove what was downloaded; all of it is in the store."""
