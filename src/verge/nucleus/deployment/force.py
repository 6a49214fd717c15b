"""What a wanted state of the device does to the supervisor and to the nucleus's own settings."""

from __future__ import annotations

from collections.abc import Collection

from verge.nucleus import settings
from verge.nucleus.deployment import plan
from verge.nucleus.lifecycle import definition, states, supervisor, users
from verge.nucleus.lifecycle.supervisor import Reaction
from verge.nucleus.store import state, tree
from verge.recipe import graph


class Force:
    """Puts states into force, and says whom that concerns."""

    def __init__(self, configured: settings.Settings, components: supervisor.Supervisor) -> None:
        self._settings = configured
        self._components = components

    def _wanted_settings(self, wanted: state.DeviceState) -> settings.Settings:
        own = {name: wanted.configuration.get(name, {}) for name in settings.OWN}
        return self._settings.configured({name: tree.plain(one) for name, one in own.items()})

    def restart_needed_for(self, wanted: state.DeviceState) -> list[str]:
        """Return the settings that need a restart. Raises NucleusError if they cannot be used."""
        configured = self._wanted_settings(wanted)
        if configured.posix_user and configured.posix_user != self._settings.posix_user:
            users.resolve(configured.posix_user)
        return self._settings.restart_needed(configured)

    def adopt_settings(self, wanted: state.DeviceState) -> None:
        """Take over the settings that need no restart."""
        former = self._settings.limits
        self._settings.adopt(self._wanted_settings(wanted))
        if self._settings.limits != former:
            self._components.limit_all()

    def put(self, before: state.DeviceState, after: state.DeviceState) -> list[str]:
        """Tell the supervisor; return the components whose health decides."""
        reactions = plan.reactions(before.components, after.components)
        for name in self.broken(after):
            reactions[name] = Reaction.REINSTALL
        self._components.change(
            {
                name: (definition.define(after.components[name]), reaction)
                for name, reaction in reactions.items()
            }
        )
        return self.affected(
            after, [n for n, reaction in reactions.items() if reaction is not Reaction.NONE]
        )

    def affected(self, after: state.DeviceState, changed: Collection[str]) -> list[str]:
        """Return the changed components and those that restart with them."""
        needs = {
            name: [dependency for dependency, hard in installed.dependencies.items() if hard]
            for name, installed in after.components.items()
        }
        return sorted({*changed, *graph.dependants(needs, changed)})

    def broken(self, wanted: state.DeviceState) -> list[str]:
        """Return the wanted components that are BROKEN; every deployment tries them again."""
        return sorted(
            name
            for name, one in self._components.runners.items()
            if one.state is states.State.BROKEN and name in wanted.components
        )

    def needs_any(self, name: str, others: Collection[str]) -> bool:
        """Return whether a component cannot run without one of the others."""
        one = self._components.runners.get(name)
        return one is not None and bool(one.definition.hard_dependencies & set(others))
