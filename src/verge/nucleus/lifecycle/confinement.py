"""Puts processes under the resource limits of their component (Greengrass contract 2.9)."""

from __future__ import annotations

from collections.abc import Callable

from verge.nucleus import logs, settings
from verge.nucleus.lifecycle import definition, limits

log = logs.Logger("lifecycle")


def limits_of(defined: definition.Definition, configured: settings.Settings) -> limits.Limits:
    """Return a component's own limits, and the nucleus's default ones where it has none."""
    own, default = defined.installed, configured.limits
    return limits.Limits(own.memory_kilobytes or default.memory_kilobytes, own.cpus or default.cpus)


class Confinement:
    """The control groups called `group`; what cannot be limited runs without limits, and is said.

    A step outside the component's life has a group of its own: the version that still runs beside
    a bootstrap step may have other limits.
    """

    def __init__(self, groups: limits.Groups, component: str, group: str = "") -> None:
        self._groups = groups
        self._component = component
        self._group = group or component

    def prepare(self, wanted: limits.Limits) -> Callable[[int], None] | None:
        """Set the limits and return what confines a process to them; None if there are none."""
        if not wanted:
            return None
        try:
            self._groups.limit(self._group, wanted)
        except limits.GroupsError as error:
            self.warn(error)
            return None
        return self._confine

    def remove(self) -> None:
        """Remove the groups; nothing runs in them any more."""
        self._groups.remove(self._group)

    def warn(self, error: limits.GroupsError) -> None:
        """Log that the limits cannot be kept."""
        log.warning(
            "Component runs without its resource limits", component=self._component, reason=error
        )

    def _confine(self, pid: int) -> None:
        try:
            self._groups.admit(self._group, [pid])
        except limits.GroupsError as error:
            self.warn(error)
