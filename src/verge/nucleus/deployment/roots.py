"""Which components each group asks for once a deployment is done (Greengrass contract 3.3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from verge.nucleus import logs
from verge.nucleus.deployment import documents, sources
from verge.nucleus.ipc import host
from verge.nucleus.store import state
from verge.recipe import versions

log = logs.Logger("deployment")


def of_local(
    request: host.LocalDeployment, device: state.DeviceState, catalogue: sources.Catalogue
) -> dict[str, dict[str, str]]:
    """Return the roots of all groups once the request is done (contract 3.10, 4)."""
    group = documents.group_of(request)
    own = dict(device.roots.get(group, {}))
    for name in request.roots_to_remove:
        own.pop(name, None)
    for name, requirement in request.roots_to_add.items():
        own[name] = catalogue.pin(name, requirement)
    everyone = {**{g: dict(r) for g, r in device.roots.items()}, group: own}
    return {name: roots for name, roots in everyone.items() if roots}


def of_fleet(
    request: host.LocalDeployment,
    device: state.DeviceState,
    fleet: documents.Fleet,
    members: Collection[str] | None,
    built_in: Collection[str],
) -> dict[str, dict[str, str]]:
    """Return the roots of all groups that the device is in, those of one replaced (contract 3.3).

    What the nucleus is itself has the version it has; asking for another one changes nothing.
    """
    kept = {g: dict(r) for g, r in device.roots.items() if belongs(g, members)}
    for group in sorted({*device.roots} - {*kept, fleet.group}):
        roots = ", ".join(device.roots[group])
        log.info("Group left, its components go unless others ask", group=group, components=roots)
    own = {name: v for name, v in request.roots_to_add.items() if name not in built_in}
    everyone = {**kept, fleet.group: own}
    return {name: roots for name, roots in everyone.items() if roots}


def belongs(group: str, members: Collection[str] | None) -> bool:
    """Return whether the roots of a group still count; those of no thing group always do."""
    return members is None or not group.startswith("thinggroup/") or group in members


def pinned(
    roots: Mapping[str, Mapping[str, str]], resolved: Mapping[str, versions.Version]
) -> dict[str, dict[str, str]]:
    """Return the roots with the exact versions that were chosen for them."""
    return {
        group: {name: str(resolved.get(name, wanted)) for name, wanted in own.items()}
        for group, own in roots.items()
    }
