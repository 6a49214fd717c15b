"""What Ansible says about an inventory, asked through its own commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from verge.fleet.errors import FleetError
from verge.fleet.project import Project

TEMPLATED = (
    "device_architecture",
    "device_python",
    "deployment_components",
    "greengrass_nucleus",
    "site_picture_directory",
    "site_result_directory",
    "edge_device_driver",
    "ansible_host",
    "ansible_port",
    "ansible_user",
    "ansible_ssh_private_key_file",
    "ansible_ssh_args",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
)
"""The variables that the tooling itself acts on; templates in these are worked out."""

_LOCAL = "local"
_UNSAFE = "__ansible_unsafe"
_NO_GROUPS = frozenset({"all", "ungrouped", "_meta"})
_RESULT = re.compile(r"^(\S+) \| ([A-Z]+)!? => ", re.MULTILINE)
# Ansible only warns of what it leaves out; a fleet with a device less is worse than none.
_SKIPPED = re.compile(r"^\[WARNING\]: (Skipping .+)", re.MULTILINE)
_YAML_FAULT = re.compile(r"Failed to parse inventory with 'yaml' plugin: (.+)")
_SETTINGS = {
    # A file that cannot be read is an error, not a warning and an empty fleet.
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
    "ANSIBLE_DEPRECATION_WARNINGS": "0",
    "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    "ANSIBLE_STDOUT_CALLBACK": "minimal",
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_FORCE_COLOR": "0",
}


def ask(project: Project, path: Path) -> dict[str, Any]:
    """Return `{"groups": {name: [device]}, "devices": {name: variables}}` of an inventory."""
    listing = json.loads(_run(project, path, "ansible-inventory", "--list"))
    hosts: dict[str, dict[str, Any]] = _unwrapped(listing["_meta"]["hostvars"])
    names = {name for group in listing for name in _members(listing, group)}
    devices = {
        name: hosts.get(name, {})
        for name in sorted(names)
        if hosts.get(name, {}).get("ansible_connection") != _LOCAL
    }
    groups = {
        group: sorted(set(_members(listing, group)) & devices.keys())
        for group in sorted(listing.keys() - _NO_GROUPS)
    }
    if any(_has_template(device.get(name)) for device in devices.values() for name in TEMPLATED):
        _work_out(project, path, devices)
    return {"groups": {name: found for name, found in groups.items() if found}, "devices": devices}


def _unwrapped(value: Any) -> Any:
    """Return a value without the mark that Ansible puts on text from outside, such as a cloud."""
    if isinstance(value, dict):
        if value.keys() == {_UNSAFE}:
            return value[_UNSAFE]
        return {key: _unwrapped(item) for key, item in value.items()}
    return [_unwrapped(item) for item in value] if isinstance(value, list) else value


def is_dynamic(folder: Path, contents: dict[str, bytes]) -> bool:
    """Return whether the inventory asks something outside its files: a script or a plugin."""
    scripts = any(os.access(path, os.X_OK) for path in folder.iterdir() if path.is_file())
    return scripts or any(re.search(rb"(?m)^plugin\s*:", text) for text in contents.values())


def _members(listing: dict[str, Any], group: str) -> list[str]:
    entry = listing.get(group, {})
    found = list(entry.get("hosts", []))
    for child in entry.get("children", []):
        found += _members(listing, child)
    return found


def _has_template(value: object) -> bool:
    text = json.dumps(value)
    return "{{" in text or "{%" in text


def _work_out(project: Project, path: Path, devices: dict[str, dict[str, Any]]) -> None:
    """Replace the variables of TEMPLATED by what Ansible makes of them."""
    pairs = ", ".join(f'"{name}": {name} | default(none)' for name in TEMPLATED)
    message = f"msg={{{{ {{{pairs}}} | to_json }}}}"
    arguments = ["all", "-m", "ansible.builtin.debug", "-a", message]
    text = _run(project, path, "ansible", *arguments, accept=(0, 2))
    for name, status, answer in _results(text):
        if name not in devices:
            continue
        if status != "SUCCESS":
            raise FleetError(f"cannot read the variables of {name}: {_first(answer.get('msg'))}")
        worked_out = json.loads(answer["msg"])
        # Ansible gives every device some of them, such as a host; those are not the inventory's.
        devices[name].update({key: worked_out[key] for key in TEMPLATED if key in devices[name]})


def _results(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    decoder = json.JSONDecoder()
    return [
        (match[1], match[2], decoder.raw_decode(text, match.end())[0])
        for match in _RESULT.finditer(text)
    ]


def _run(
    project: Project, path: Path, command: str, *arguments: str, accept: tuple[int, ...] = (0,)
) -> str:
    program = Path(sys.executable).with_name(command)
    try:
        done = subprocess.run(
            [str(program), "-i", str(path), *arguments],
            cwd=project.root,
            env={**os.environ, **_SETTINGS},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise FleetError(
            f"cannot run {program}: {error.strerror}", "`./inv` installs it into .venv"
        ) from error
    skipped = _SKIPPED.search(done.stderr)
    if done.returncode not in accept or skipped:
        reason = _first(skipped[1]) if skipped else _reason(done.stderr)
        raise FleetError(f"cannot read the inventory {project.relative(path)}: {reason}")
    return done.stdout


def _reason(stderr: str) -> str:
    """Return what Ansible holds against the inventory as one line."""
    fault = _YAML_FAULT.search(stderr)
    if fault:
        return _first(fault[1])
    start = stderr.find("[ERROR]")
    paragraph = stderr[max(start, 0) :].replace("[ERROR]:", "", 1).strip()
    return _first(paragraph)


def _first(text: object) -> str:
    return " ".join(str(text).split("\n\n")[0].split())[:500] or "Ansible gave no reason"
