"""Verified: the device itself says that everything it should run is at work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from verge.fleet import devices, errors, inventory, nuclei, project

AT_WORK = frozenset({"RUNNING", "FINISHED"})
SECONDS = 120.0
"""How long components may take to start again, after a restart of the device say."""
_PAUSE = 1.0


def verify_devices(
    where: project.Project,
    fleet: Sequence[inventory.Device],
    wanted: Mapping[str, Mapping[str, str]],
    *,
    seconds: float = SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until all devices run what they should, by name with its version.

    Raises DeviceError for the first device that does not come to it.
    """

    def verify(device: inventory.Device) -> None:
        deadline = time.monotonic() + seconds
        nucleus = nuclei.of(where, device)
        while lacking := _ask(nucleus, wanted.get(device.name, {})):
            if time.monotonic() > deadline:
                raise devices.DeviceError(
                    device.name,
                    f"does not run what it should: {'; '.join(lacking)}",
                    f"./inv status --device {device.name} shows the last lines of what failed",
                )
            sleep(_PAUSE)

    for _, answer in devices.for_each(fleet, verify):
        if isinstance(answer, errors.FleetError):
            raise answer


def _ask(nucleus: nuclei.Nucleus, wanted: Mapping[str, str]) -> list[str]:
    try:
        return find_lacking(nucleus.list_components(), wanted)
    except devices.DeviceError as error:  # it may be starting again
        return [error.reason]


def find_lacking(listed: Sequence[Mapping[str, str]], wanted: Mapping[str, str]) -> list[str]:
    """Return what is not at work in the wanted version, one line each."""
    present = {item["name"]: (item["version"], item["state"]) for item in listed}
    lines = []
    for name, version in wanted.items():
        found, state = present.get(name, ("", ""))
        if found != version or state not in AT_WORK:
            lines.append(f"{name} {found} is {state}" if found else f"{name} is not there")
    return lines
