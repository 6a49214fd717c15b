"""Reach devices over SSH: run a command or a script, drop a picture, read results."""

from __future__ import annotations

import concurrent.futures
import importlib.resources
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from verge.fleet import errors, inventory, project

CONNECT_SECONDS = 10
RESULT_PATIENCE = 30.0
"""Seconds that a result may take; the first one after a start waits for the model to load."""

_DRIVER = "edge_device_driver"
_PODMAN = "podman"
"""The driver of simulated devices, which have a file of SSH that says how to reach them."""
_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")

_NO_RESULT = 75
_SSH_FAILED = 255

_Value = TypeVar("_Value")


class DeviceError(errors.FleetError):
    """A device could not be reached, or refused what was asked; `.device` and `.reason` say so."""

    def __init__(self, device: str, reason: str, hint: str) -> None:
        super().__init__(f"{device}: {reason}", hint=hint)
        self.device = device
        self.reason = reason


@dataclass(frozen=True)
class Sighting:
    """The result of one dropped picture."""

    device: str
    picture: str
    document: dict[str, Any]
    """A `verge.detections/1` or `verge.rejection/1` document."""
    seconds: float | None = None
    """From the complete file to the stored result, as the device measured it."""
    annotated: Path | None = None
    """The annotated picture, fetched to this machine."""


def ssh_command(where: project.Project, device: inventory.Device) -> list[str]:
    """Return the start of an SSH command line that reaches the device without any question.

    Raises DeviceError for a simulated device that does not exist yet.
    """
    command = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
    if "ansible_host" in device.variables or device.variables.get(_DRIVER, _PODMAN) != _PODMAN:
        return [*command, *_connection(device)]
    config = where.ssh_dir / "config"
    if config.is_file() and f"Host {device.name}\n" in config.read_text(encoding="utf-8"):
        return [*command, "-F", str(config), device.name]
    raise DeviceError(
        device.name, "does not exist yet", "./inv up creates the devices of the inventory"
    )


def _connection(device: inventory.Device) -> list[str]:
    """Return the options and the address by which Ansible reaches the device, too."""
    given = {key: str(item) for key, item in device.variables.items() if item not in (None, "")}
    options = [word for key in _ARGUMENTS for word in shlex.split(given.get(key, ""))]
    for option, key in (("-p", "ansible_port"), ("-i", "ansible_ssh_private_key_file")):
        options += [option, given[key]] if key in given else []
    address = given.get("ansible_host", device.name)
    user = given.get("ansible_user")
    return [*options, f"{user}@{address}" if user else address]


def run_remote(
    where: project.Project,
    device: inventory.Device,
    command: Sequence[str],
    *,
    content: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    """Run a command on the device with `content` as its standard input.

    Raises DeviceError if SSH does not reach the device; the command's own failure is returned.
    """
    done = subprocess.run(
        [*ssh_command(where, device), shlex.join(command)],
        input=content,
        capture_output=True,
        check=False,
    )
    if done.returncode == _SSH_FAILED:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DeviceError(
            device.name,
            f"cannot be reached over SSH: {said[-1] if said else 'no answer'}",
            "./inv up creates and repairs local devices; ansible_host must be right for others",
        )
    return done


def _run_script(
    where: project.Project,
    device: inventory.Device,
    script: str,
    arguments: Sequence[str],
    content: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    source = importlib.resources.files("verge.fleet.remote").joinpath(script).read_text("utf-8")
    return run_remote(where, device, ["python3", "-c", source, *arguments], content=content)


def _directory(device: inventory.Device, kind: str) -> str:
    return str(device.variables.get(f"site_{kind}_directory", f"/var/lib/verge/{kind}s"))


def drop_picture(where: project.Project, device: inventory.Device, picture: Path) -> Sighting:
    """Copy a picture into the device's watched directory and return what was seen on it.

    Raises DeviceError if the picture is not taken or no result comes within RESULT_PATIENCE.
    """
    try:
        content = picture.read_bytes()
    except OSError as error:
        raise errors.FleetError(
            f"cannot read {picture}: {error.strerror}", hint="name a JPEG or PNG file"
        ) from error
    arguments = [_directory(device, "picture"), _directory(device, "result"), picture.name]
    done = _run_script(
        where, device, "drop_picture.py", [*arguments, str(RESULT_PATIENCE)], content
    )
    if done.returncode == _NO_RESULT:
        raise DeviceError(
            device.name,
            f"no result for {picture.name} within {RESULT_PATIENCE:.0f} s",
            f"./inv status shows what runs; ./inv logs verge.FileSystemMonitor --device "
            f"{device.name} says whether it was seen; "
            "the monitor takes only names that match its patterns",
        )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DeviceError(
            device.name,
            f"cannot take {picture.name}: {said[-1] if said else 'no reason given'}",
            "./inv provision makes the directories of a device",
        )
    answer = json.loads(done.stdout)
    sighting = Sighting(device.name, picture.name, answer["result"], answer["seconds"])
    return fetch_annotated(where, device, sighting)


def fetch_annotated(
    where: project.Project, device: inventory.Device, sighting: Sighting
) -> Sighting:
    """Copy the annotated picture of a result to `.verge/results/<device>/`, if there is one."""
    remote = sighting.document.get("annotated")
    if not remote:
        return sighting
    local = where.state_dir / "results" / device.name / f"{Path(sighting.picture).stem}.jpg"
    done = run_remote(where, device, ["cat", str(remote)])
    if done.returncode:
        return sighting
    local.parent.mkdir(parents=True, exist_ok=True)
    partial = local.with_name(f".{local.name}.{os.getpid()}.part")
    partial.write_bytes(done.stdout)
    partial.replace(local)
    return Sighting(
        sighting.device, sighting.picture, sighting.document, sighting.seconds, annotated=local
    )


def read_results(
    where: project.Project, device: inventory.Device, limit: int = 100
) -> list[dict[str, Any]]:
    """Return the newest result documents on the device, newest first."""
    arguments = [_directory(device, "result"), str(limit)]
    done = _run_script(where, device, "read_results.py", arguments)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DeviceError(
            device.name,
            f"cannot read results: {said[-1] if said else 'no reason given'}",
            "./inv provision makes the directories of a device",
        )
    documents: list[dict[str, Any]] = json.loads(done.stdout)
    return documents


def for_each(
    devices: Sequence[inventory.Device], work: Callable[[inventory.Device], _Value]
) -> list[tuple[inventory.Device, _Value | errors.FleetError]]:
    """Do the work for all devices at once; an error stands in for the answer of its device."""

    def guarded(device: inventory.Device) -> _Value | errors.FleetError:
        try:
            return work(device)
        except errors.FleetError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        return list(zip(devices, pool.map(guarded, devices), strict=True))
