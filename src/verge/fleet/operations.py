"""Verbs on devices: provision, deploy, drop pictures, read status and logs."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verge.fleet import (
    capture_places,
    devices,
    environments,
    errors,
    inventory,
    nuclei,
    output,
    playbook,
    project,
    up,
)

OFFLINE = "deploy_offline"
"""The playbook that pushes components to devices over SSH."""

LOG_LINES = 20
"""Last lines of a failed component that `inv status` shows."""


@dataclass(frozen=True)
class Target:
    """Which devices a verb acts on; exactly one of the three is set."""

    group: str = ""
    device: str = ""
    everything: bool = False


@dataclass(frozen=True)
class DeviceStatus:
    """What runs on a device, or why that is not known."""

    device: str
    components: list[dict[str, Any]] = field(default_factory=list)
    """`name`, `version`, `state` and `status_reason` of each component, and what else is told."""
    logs: dict[str, list[str]] = field(default_factory=dict)
    """The last lines of each component that failed."""
    error: str = ""

    @property
    def healthy(self) -> bool:
        """Whether the device answers and nothing on it failed."""
        return not self.error and not any(
            component["state"] in nuclei.FAILED_STATES for component in self.components
        )


def select_devices(fleet: inventory.Inventory, target: Target) -> list[inventory.Device]:
    """Return the devices meant.

    Raises FleetError if none is named, if two ways name them, or if a name is unknown.
    """
    options = {"--group": target.group, "--device": target.device, "--all": target.everything}
    given = [option for option, value in options.items() if value]
    if len(given) > 1:
        raise errors.FleetError(
            f"cannot choose devices: {' and '.join(given)} are given together",
            hint="give one of them",
        )
    if target.everything:
        return list(fleet.devices.values())
    if target.device:
        return [find_device(fleet, target.device)]
    if not target.group:
        raise errors.FleetError(
            "cannot choose devices: no --group or --device given",
            hint="name one, or give --all for every device of the inventory",
        )
    if target.group not in fleet.groups:
        raise errors.FleetError(
            f"cannot find group {target.group} in the inventory",
            hint=f"groups: {', '.join(sorted(fleet.groups))}",
        )
    return [fleet.devices[name] for name in fleet.groups[target.group]]


def find_device(fleet: inventory.Inventory, name: str) -> inventory.Device:
    """Return a device by name. Raises FleetError if the inventory has none of that name."""
    known = f"devices: {', '.join(sorted(fleet.devices)) or 'none'}"
    if not name:
        raise errors.FleetError("cannot choose a device: no --device given", hint=known)
    if name not in fleet.devices:
        raise errors.FleetError(
            f"cannot find device {name} in the inventory",
            hint=f"{known}; add others to its hosts.yml",
        )
    return fleet.devices[name]


def _some_devices(fleet: inventory.Inventory, name: str) -> list[inventory.Device]:
    return [find_device(fleet, name)] if name else list(fleet.devices.values())


def run_on_fleet(
    where: project.Project,
    inventory_path: Path,
    playbook_name: str,
    target: Target,
    reporter: output.Reporter,
    *,
    prepare: bool = False,
    check: bool = False,
    environment: environments.Environment | None = None,
) -> playbook.PlaybookResult:
    """Run a playbook on the devices meant, with a fresh release first if `prepare` is set.

    With an `environment` its cloud is reached first; without one the devices have none.
    """
    fleet = inventory.load_inventory(where, inventory_path)
    selected = select_devices(fleet, target)
    chosen = [device.name for device in selected]
    if playbook_name == OFFLINE:
        nuclei.require_bundles(where, selected)
    if prepare:
        up.prepare_release(where, fleet, reporter)
    if environment is not None:
        account, _ = up.reach_cloud(where, environment, reporter)
        capture_places.ensure_buckets(where, account, fleet, reporter)
    reporter.step(f"Running playbooks/{playbook_name}.yml on {', '.join(chosen)}")
    return playbook.run_playbook(
        where,
        playbook_name,
        inventory=inventory_path,
        # Devices are created from the controller, so it belongs to every selection.
        limit=[*chosen, "controller"],
        variables=None if environment else playbook.WITHOUT_CLOUD,
        check=check,
        diff=check,
        reporter=reporter,
    )


def drop_pictures(
    where: project.Project,
    inventory_path: Path,
    path: Path,
    device: str,
    reporter: output.Reporter,
) -> list[devices.Sighting]:
    """Drop a picture, or the pictures of a folder, on devices and return what they see."""
    fleet = inventory.load_inventory(where, inventory_path)
    pictures = up.find_pictures(path)

    def drop(target: inventory.Device) -> list[devices.Sighting]:
        sightings = []
        for number, picture in enumerate(pictures, start=1):
            reporter.now(f"{target.name}: {picture.name} ({number} of {len(pictures)})")
            sightings.append(devices.drop_picture(where, target, picture))
        return sightings

    sightings: list[devices.Sighting] = []
    for _, answer in devices.for_each(_some_devices(fleet, device), drop):
        reporter.clear()
        if isinstance(answer, errors.FleetError):
            raise answer
        sightings += answer
    return sightings


def read_status(
    where: project.Project, inventory_path: Path, device: str = ""
) -> list[DeviceStatus]:
    """Return what runs on each device; a device that does not answer says so in `.error`."""
    fleet = inventory.load_inventory(where, inventory_path)

    def read(target: inventory.Device) -> DeviceStatus:
        listed = nuclei.of(where, target).list_components()
        logs = {
            component["name"]: nuclei.read_log(where, target, component["name"], LOG_LINES)
            for component in listed
            if component["state"] in nuclei.FAILED_STATES
        }
        return DeviceStatus(target.name, components=listed, logs=logs)

    return [
        DeviceStatus(target.name, error=getattr(answer, "reason", str(answer)))
        if isinstance(answer, errors.FleetError)
        else answer
        for target, answer in devices.for_each(_some_devices(fleet, device), read)
    ]


def show_log(
    where: project.Project,
    inventory_path: Path,
    device: str,
    component: str,
    lines: int,
    follow: bool,
) -> None:
    """Print the last lines of a log, and new ones as they come if asked."""
    target = find_device(inventory.load_inventory(where, inventory_path), device)
    command = nuclei.of(where, target).log_command(component, lines, follow=follow)
    done = subprocess.run([*devices.ssh_command(where, target), shlex.join(command)], check=False)
    if done.returncode:
        raise devices.DeviceError(
            device, f"cannot show the log of {component}", f"./inv status --device {device}"
        )


def open_shell(where: project.Project, inventory_path: Path, device: str) -> None:
    """Replace this process by a shell on the device."""
    target = find_device(inventory.load_inventory(where, inventory_path), device)
    command = devices.ssh_command(where, target)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted between SSH and the terminal
