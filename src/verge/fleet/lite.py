"""AWS's nucleus Lite on a device, asked through systemd: Lite runs every component as a unit.

It offers nothing that lists components. The units are what Lite's own health service looks at, and
the states here are worked out of them in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from verge.fleet import devices, inventory, project

_PREFIX = "ggl."
_SUFFIX = ".service"
_INSTALL = ".install"
_RUNNER = "recipe-runner"
_ITSELF = "greengrass"
_CORE = "ggl.core.*"

_PROPERTIES = (
    "Id",
    "ActiveState",
    "InactiveEnterTimestampMonotonic",
    "NRestarts",
    "Result",
    "ExecMainStatus",
    "ExecStart",
)
# systemd shows only units that it has loaded unless they are named.
_LIST = (
    f"systemctl list-unit-files --no-legend --plain '{_PREFIX}*{_SUFFIX}' | cut -d ' ' -f 1"
    f" | xargs --no-run-if-empty systemctl show --property={','.join(_PROPERTIES)}"
)

_STATES: Mapping[str, str] = {
    "activating": "STARTING",
    "active": "RUNNING",
    "reloading": "RUNNING",
    "deactivating": "STOPPING",
}
_STARTS = 3
"""Lite gives a component up after so many starts."""


class Lite:
    """The nucleus Lite of one device."""

    takes_bundles = False

    def __init__(self, where: project.Project, device: inventory.Device) -> None:
        self._where = where
        self._device = device

    def list_components(self) -> list[dict[str, Any]]:
        """Return what the units of the components say, by name."""
        done = devices.run_remote(self._where, self._device, ["sh", "-c", _LIST])
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip() or "no reason given"
            raise devices.DeviceError(
                self._device.name, f"systemd does not answer: {said}", "./inv provision mends it"
            )
        return read_units(done.stdout.decode(errors="replace"))

    def log_command(self, component: str, lines: int, *, follow: bool = False) -> list[str]:
        """Return the command that reads the journal of the units of a component."""
        if component == _ITSELF:
            units = [_CORE]
        else:
            units = [f"{_PREFIX}{component}{phase}{_SUFFIX}" for phase in (_INSTALL, "")]
        command = ["sudo", "-n", "journalctl", "--no-pager", "--output=short-iso"]
        command += [f"--unit={unit}" for unit in units]
        return [*command, f"--lines={lines}", *(["--follow"] if follow else [])]


def read_units(shown: str) -> list[dict[str, Any]]:
    """Return the components that the output of `systemctl show` tells of, sorted by name."""
    units = {unit["Id"]: unit for unit in _parse(shown) if "Id" in unit}
    components = []
    for name, version in sorted({found for unit in units.values() if (found := _runs(unit))}):
        install = units.get(f"{_PREFIX}{name}{_INSTALL}{_SUFFIX}", {})
        # What only installs has no unit that stays.
        unit = units.get(f"{_PREFIX}{name}{_SUFFIX}", install)
        failed = next((item for item in (install, unit) if _state(item) == "ERRORED"), unit)
        components.append(
            {
                "name": name,
                "version": version,
                "state": _state(failed),
                "status_reason": _reason(failed),
            }
        )
    return components


def _parse(shown: str) -> Iterator[dict[str, str]]:
    for block in shown.split("\n\n"):
        pairs = (line.partition("=") for line in block.splitlines())
        yield {key: value for key, _, value in pairs}


def _runs(unit: Mapping[str, str]) -> tuple[str, str] | None:
    """Return name and version of the component that a unit belongs to."""
    words = unit.get("ExecStart", "").split()
    if not any(word.endswith(_RUNNER) for word in words) or not {"-n", "-v"} <= set(words):
        return None
    return words[words.index("-n") + 1], words[words.index("-v") + 1]


def _state(unit: Mapping[str, str]) -> str:
    active = unit.get("ActiveState", "")
    if active in _STATES:
        return _STATES[active]
    if int(unit.get("InactiveEnterTimestampMonotonic") or 0) == 0:
        return "INSTALLED"
    if int(unit.get("NRestarts") or 0) >= _STARTS:
        return "BROKEN"
    return "FINISHED" if unit.get("Result") == "success" else "ERRORED"


def _reason(unit: Mapping[str, str]) -> str:
    result = unit.get("Result", "success")
    if result == "success":
        return ""
    return f"{result}, exit code {unit.get('ExecMainStatus', '?')}: {unit.get('Id', '')}"
