"""What the tooling asks of the nucleus on a device, whichever it is: what runs, and the logs.

`greengrass_nucleus` of the inventory names the kind. Nothing else here or above tells kinds apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from verge.fleet import devices, errors, inventory, lite, project

FAILED_STATES = frozenset({"ERRORED", "BROKEN"})


class Nucleus(Protocol):
    """The nucleus of one device."""

    takes_bundles: bool
    """Whether components can be pushed to it over SSH, without a cloud."""

    def list_components(self) -> list[dict[str, Any]]:
        """Return `name`, `version`, `state` and `status_reason` of each component, or more.

        States are those of Greengrass. Raises DeviceError if the device does not say.
        """

    def log_command(self, component: str, lines: int, *, follow: bool = False) -> list[str]:
        """Return the command that prints the last lines of a log on the device.

        `component` may be `greengrass`, the nucleus itself.
        """


class Embedded:
    """Verge's own nucleus, asked through its command on the device."""

    takes_bundles = True

    def __init__(self, where: project.Project, device: inventory.Device) -> None:
        self._where = where
        self._device = device

    def list_components(self) -> list[dict[str, Any]]:
        """Return what `verge-nucleus list` says."""
        done = devices.run_remote(
            self._where, self._device, ["sudo", "-n", "verge-nucleus", "list", "--json"]
        )
        try:
            listed: list[dict[str, Any]] = json.loads(done.stdout)["components"]
        except (ValueError, KeyError):
            said = done.stderr.decode(errors="replace").strip() or "no answer"
            raise devices.DeviceError(
                self._device.name,
                f"the nucleus does not answer: {said}",
                "./inv provision installs it",
            ) from None
        return listed

    def log_command(self, component: str, lines: int, *, follow: bool = False) -> list[str]:
        """Return the nucleus's own command."""
        command = ["sudo", "-n", "verge-nucleus", "logs", component, "--lines", str(lines)]
        return [*command, *(["--follow"] if follow else [])]


_KINDS: Mapping[str, Callable[[project.Project, inventory.Device], Nucleus]] = {
    "embedded": Embedded,
    "lite": lite.Lite,
}


def of(where: project.Project, device: inventory.Device) -> Nucleus:
    """Return the nucleus that the inventory gives a device. Raises FleetError for another kind."""
    kind = device.nucleus
    if kind not in _KINDS:
        raise errors.FleetError(
            f"cannot ask the nucleus of {device.name}: greengrass_nucleus is {kind!r}",
            f"set it to {' or '.join(_KINDS)}",
        )
    return _KINDS[kind](where, device)


def require_bundles(where: project.Project, fleet: Iterable[inventory.Device]) -> None:
    """Raise FleetError if one of the devices cannot be deployed to without a cloud."""
    for device in fleet:
        if not of(where, device).takes_bundles:
            raise errors.FleetError(
                f"cannot deploy to {device.name} without a cloud: its nucleus, {device.nucleus}, "
                "takes components from a cloud only",
                "`./inv up` deploys through the cloud of the inventory",
            )


def read_log(
    where: project.Project, device: inventory.Device, component: str, lines: int
) -> list[str]:
    """Return the last lines of a component's log."""
    command = of(where, device).log_command(component, lines)
    return devices.run_remote(where, device, command).stdout.decode(errors="replace").splitlines()
