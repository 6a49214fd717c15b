"""The gate between a prepared deployment and its activation (Greengrass contract 3.4, 3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verge.nucleus.consent import updates, validation
from verge.nucleus.deployment import failures
from verge.nucleus.store import state, tree


@dataclass(frozen=True)
class Policy:
    """How long components may take to answer, in seconds."""

    validation_limit: float = validation.LOCAL_LIMIT
    update_limit: float | None = None
    """None: do not notify components at all."""


LOCAL = Policy()
"""The policy of every local deployment: it validates, and notifies nobody."""


class Gate:
    """What components have a say in; one deployment passes at a time."""

    def __init__(self) -> None:
        self.validation = validation.Validation()
        self.updates = updates.Updates()
        self._notified = ""

    async def open(
        self,
        deployment: str,
        before: state.DeviceState,
        after: state.DeviceState,
        policy: Policy = LOCAL,
        *,
        restarting: bool = False,
    ) -> None:
        """Return when the deployment may be activated, or was withdrawn.

        Raises DeploymentError if a component rejects its configuration or does not say.
        """
        proposed = proposals(before, after)
        try:
            await self.validation.ask(deployment, proposed, policy.validation_limit)
        except validation.RejectedError as error:
            raise failures.DeploymentError(
                str(error), "COMPONENT_CONFIGURATION_NOT_VALID", "COMPONENT_ERROR"
            ) from error
        if policy.update_limit is not None and not self.validation.withdrawn:
            self._notified = deployment
            await self.updates.ask(deployment, policy.update_limit, restarting=restarting)

    def withdraw(self, deployment: str) -> None:
        """Wait no more for components that validate or put the update off."""
        self.validation.withdraw(deployment)
        self.updates.withdraw(deployment)

    def close(self, deployment: str) -> None:
        """Tell the components that were notified that the deployment is over."""
        if self._notified == deployment:
            self._notified = ""
            self.updates.finish(deployment)


def proposals(before: state.DeviceState, after: state.DeviceState) -> dict[str, Mapping[str, Any]]:
    """Return the new configurations of components that keep their version (contract 3.7)."""
    return {
        name: wanted
        for name, installed in after.components.items()
        if name in before.components
        and before.components[name].version == installed.version
        and (wanted := tree.plain(after.configuration.get(name, {})))
        != tree.plain(before.configuration.get(name, {}))
    }
