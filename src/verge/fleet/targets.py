"""Which deployment each thing group gets, worked out from what the inventory asks of devices.

An Ansible group is a thing group. The group whose `group_vars` state `deployment_components` is the
target of the deployment; values that only `all` states go to each device as a thing. Nothing here
needs a cloud.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from verge.fleet import inventory
from verge.fleet.errors import FleetError
from verge.recipe import model, versions

GROUP = "thinggroup"
THING = "thing"


@dataclass(frozen=True)
class Component:
    """What a deployment says of one component."""

    version: str
    merge: Mapping[str, Any] = field(default_factory=dict)
    reset: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A thing group, or a thing, with what its devices should run."""

    kind: str
    """`thinggroup` or `thing`."""
    name: str
    devices: tuple[str, ...]
    components: Mapping[str, Component]


def plan_targets(fleet: inventory.Inventory, recipes: Mapping[str, model.Recipe]) -> list[Target]:
    """Return the targets of the inventory with exact versions, sorted by name.

    `recipes` are the published recipes of the repository. A deployment names the dependencies too:
    what was built and tested together runs together. Refused, with the file that asks for it: a
    component that is not there, a range that its version does not satisfy, devices of one group
    that ask for different things, a device for which two groups speak.
    """
    members: dict[tuple[str, str], list[inventory.Device]] = {}
    for device in fleet.devices.values():
        members.setdefault(_target_of(fleet, device), []).append(device)
    return [
        Target(kind, name, tuple(device.name for device in devices), _components(devices, recipes))
        for (kind, name), devices in sorted(members.items())
    ]


def _target_of(fleet: inventory.Inventory, device: inventory.Device) -> tuple[str, str]:
    stating = [group for group in device.groups if inventory.states_deployment(fleet, group)]
    if inventory.states_deployment(fleet, device.name, "host_vars"):
        if stating:
            raise FleetError(
                f"cannot deploy to {device.name}: its host_vars and group {stating[0]} both state "
                f"{inventory.DESIRED}, and a cloud would deploy both",
                f"put {device.name} into a group of its own, or state it in one place",
            )
        return THING, device.name
    if len(stating) > 1:
        raise FleetError(
            f"cannot deploy to {device.name}: the groups {' and '.join(stating)} both state "
            f"{inventory.DESIRED}, and a cloud would deploy both",
            "state it in one of them",
        )
    return (GROUP, stating[0]) if stating else (THING, device.name)


def _components(
    devices: Sequence[inventory.Device], recipes: Mapping[str, model.Recipe]
) -> dict[str, Component]:
    first = devices[0]
    wanted = first.deployment
    for other in devices[1:]:
        if other.deployment != wanted:
            raise FleetError(
                f"{first.origin()}: {inventory.DESIRED}: cannot be one deployment: what it says "
                f"differs between {first.name} and {other.name}",
                "use no variable there that differs within the group, or part the group",
            )
    found = {
        name: Component(_version(first, name, desired, recipes), desired.merge, desired.reset)
        for name, desired in wanted.items()
        if not _is_provided(name, recipes)
    }
    for name in _dependencies(found, recipes):
        found.setdefault(name, Component(recipes[name].version))
    return dict(sorted(found.items()))


def _is_provided(name: str, recipes: Mapping[str, model.Recipe]) -> bool:
    from verge.fleet import dependencies

    return name not in recipes and name.startswith(dependencies.PROVIDED)


def _version(
    device: inventory.Device,
    name: str,
    desired: inventory.Desired,
    recipes: Mapping[str, model.Recipe],
) -> str:
    place = f"{device.origin(name)}: {inventory.DESIRED}/{name}"
    if name not in recipes:
        raise FleetError(
            f"{place}: cannot deploy {name}: components/ has no component of that name",
            f"`./inv new {name}` makes one; there are {', '.join(sorted(recipes))}",
        )
    version = recipes[name].version
    if not versions.Requirement.parse(desired.requirement).allows(version):
        raise FleetError(
            f"{place}/version: cannot satisfy {desired.requirement!r}: {name} is at {version}",
            "widen the range, or change the version in the component's gdk-config.json",
        )
    return version


def _dependencies(names: Mapping[str, Any], recipes: Mapping[str, model.Recipe]) -> Iterator[str]:
    pending, seen = list(names), set(names)
    while pending:
        for need in recipes[pending.pop()].dependencies:
            if need in recipes and need not in seen:
                seen.add(need)
                pending.append(need)
                yield need
