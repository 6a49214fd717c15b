"""The device as status reports show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from verge.nucleus import settings
from verge.nucleus.cloud import status
from verge.nucleus.deployment import device, groups, history
from verge.nucleus.deployment.documents import Phase
from verge.nucleus.lifecycle import states, supervisor


class View:
    """Implements `status.Device`."""

    def __init__(
        self,
        components: supervisor.Supervisor,
        present: device.Device,
        known: groups.Groups,
        records: history.History,
    ) -> None:
        self._supervisor = components
        self._device = present
        self._groups = known
        self._records = records

    def components(self) -> Sequence[status.Component]:
        """Return all components, the nucleus first."""
        roots, arns = self._device.present.roots, self._groups.arns()
        own, version = settings.NUCLEUS, settings.VERSION
        found = [status.Component(own, version, states.State.RUNNING, is_root=False)]
        for name, one in sorted(self._supervisor.runners.items()):
            groups_of = [group for group, names in roots.items() if name in names]
            found.append(
                status.Component(
                    name,
                    one.definition.installed.version,
                    one.state,
                    is_root=bool(groups_of),
                    arns=tuple(sorted(arns[g] for g in groups_of if g in arns)),
                    code=str(one.machine.code),
                    reason=one.machine.reason,
                )
            )
        return found

    async def until(self, reached: Callable[[], bool], deadline: float | None = None) -> bool:
        """Wait for a condition, looking at every change."""
        return await self._supervisor.until(reached, deadline)

    def wake(self) -> None:
        """Let `until` look again."""
        self._supervisor.wake()

    def busy(self) -> bool:
        """Return whether a deployment is at work."""
        phases = self._records.phases
        return any(phases[record.id] is not Phase.QUEUED for record in self._records.waiting())
