"""Versions that the cloud offers while one deployment is resolved (Greengrass contract 3.5)."""

from __future__ import annotations

from collections.abc import Mapping

from verge.nucleus import logs, threads
from verge.nucleus.deployment import failures, remote
from verge.recipe import errors, loading, model, versions

log = logs.Logger("deployment")


class Offers:
    """Asks the cloud, one component at a time; works in a thread."""

    def __init__(
        self,
        cloud: remote.Cloud,
        attributes: Mapping[str, str],
        stop: threads.Stop,
        *,
        first: bool,
    ) -> None:
        self.first = first
        """Whether the cloud is asked before what is on the device; a local deployment does not."""
        self._cloud = cloud
        self._attributes = attributes
        self._stop = stop
        self._offline: Exception | None = None

    def ask(
        self, component: str, requesters: Mapping[str, str], local: versions.Version | None
    ) -> model.Recipe | None:
        """Return the recipe of the version to take; None leaves the choice to what is at hand.

        `local` is the version on the device that would do. Raises DeploymentError if there is
        none and the cloud has no answer, StoppedError.
        """
        if self._offline and local:
            return None
        requirements = {_name(who): _range(who, what) for who, what in requesters.items()}
        try:
            text = self._cloud.resolve(
                component,
                requirements,
                str(local) if local else None,
                self._attributes,
                self._stop,
                patient=self.first and local is None,
            )
            return self._read(component, text, requesters) if text else None
        except remote.OfflineError as error:
            self._offline = error
            if local is None:
                raise failures.DeploymentError(
                    f"cannot find a version of {component}: none is on the device, and {error}",
                    "NETWORK_ERROR",
                    "NETWORK_ERROR",
                ) from error
            log.warning("Cloud not asked for versions", reason=error)
        except failures.DeploymentError as error:
            if local is None:
                raise
            log.warning("Version on the device used", component=component, reason=error)
        return None

    def _read(self, component: str, text: str, requesters: Mapping[str, str]) -> model.Recipe:
        try:
            recipe = loading.parse_recipe(text, source=f"recipe of {component} from the cloud")
        except errors.RecipeError as error:
            raise failures.DeploymentError(
                str(error), "RECIPE_PARSE_ERROR", "COMPONENT_RECIPE_ERROR"
            ) from error
        fits = all(
            versions.Requirement.parse(what).allows(recipe.version) for what in requesters.values()
        )
        if recipe.name != component or not fits:
            raise failures.DeploymentError(
                f"cannot use what the cloud offers for {component}: {recipe.name} "
                f"{recipe.version} is not what was asked for",
                "RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE",
                "CLOUD_SERVICE_ERROR",
            )
        return recipe


def _name(requester: str) -> str:
    """Return a requester as the cloud knows it: `group thinggroup/a` and `app 1.0.0` are ours."""
    if requester.startswith("group "):
        return requester.removeprefix("group ")
    return requester.split(" ", 1)[0]


def _range(requester: str, requirement: str) -> str:
    exact = requester.startswith("group ") and requirement[:1].isdigit()
    return f"={requirement}" if exact else requirement
