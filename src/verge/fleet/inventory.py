"""The fleet as Ansible's inventory describes it: groups, devices, and what each should run.

Ansible itself is asked, so that precedence and templates are its own; the answer is kept as long as
the inventory's files and the environment stay the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verge.fleet import files, platforms
from verge.fleet.errors import FleetError, describe
from verge.fleet.project import Project

if TYPE_CHECKING:
    from verge.fleet.bundle import Bundle

DESIRED = "deployment_components"
EMBEDDED = "embedded"
"""The nucleus of devices of which nothing else is said."""
_FORMAT = 3
_QUOTED = re.compile(rb"""["'](\w+)["']""")
_VARIABLE_SUFFIXES = ("", ".yml", ".yaml", ".json")


@dataclass(frozen=True)
class Desired:
    """What a device should run of one component."""

    requirement: str
    merge: Mapping[str, Any]
    reset: tuple[str, ...]


@dataclass(frozen=True)
class Device:
    """A device; `variables` are Ansible's, with templates in them as they were written."""

    name: str
    groups: tuple[str, ...]
    """The groups it is in, each a thing group; without `all` and `ungrouped`."""
    variables: Mapping[str, Any]
    deployment_components: Any
    """What it should run, as it was written; `deployment` is this, checked."""
    inventory: Path = Path("inventory")
    """The folder of the inventory it stands in."""

    @property
    def architecture(self) -> str:
        """The processor, as `device_architecture` says: `x86_64` or `aarch64`."""
        return str(self._needed("device_architecture"))

    @property
    def python(self) -> str:
        """The version of Python on it, as `device_python` says: `3.11`."""
        return str(self._needed("device_python"))

    @property
    def platform(self) -> str:
        """The key of its wheelhouse, such as `cp311-x86_64`."""
        return platforms.key_of(self.python, self.architecture)

    @property
    def nucleus(self) -> str:
        """Which nucleus runs on it, as `greengrass_nucleus` says."""
        return str(self.variables.get("greengrass_nucleus") or EMBEDDED)

    def _needed(self, variable: str) -> Any:
        if self.variables.get(variable) in (None, ""):
            raise FleetError(
                f"cannot tell the platform of {self.name}: it has no {variable}",
                f"set it in {self.inventory}/host_vars/{self.name}.yml or for its group",
            )
        return self.variables[variable]

    @property
    def deployment(self) -> dict[str, Desired]:
        """What it should run, from `deployment_components`, by component."""
        document = self.deployment_components or {}
        if not isinstance(document, dict):
            raise self._refusal("", "should map components to what is wanted of each")
        return {str(name): self._desired(str(name), item) for name, item in document.items()}

    def _desired(self, name: str, item: object) -> Desired:
        item = {} if item is None else item
        if not isinstance(item, dict) or item.keys() - {"version", "configuration"}:
            raise self._refusal(name, "should have the keys version and configuration only")
        configuration = item.get("configuration") or {}
        if not isinstance(configuration, dict) or configuration.keys() - {"merge", "reset"}:
            raise self._refusal(name, "configuration should have the keys merge and reset only")
        merge, reset = configuration.get("merge") or {}, configuration.get("reset") or []
        if not isinstance(merge, dict):
            raise self._refusal(name, "configuration/merge should be an object")
        if not isinstance(reset, list) or not all(isinstance(path, str) for path in reset):
            raise self._refusal(name, "configuration/reset should be a list of paths")
        return Desired(self._requirement(name, item.get("version", "*")), merge, tuple(reset))

    def _requirement(self, name: str, text: object) -> str:
        from verge.recipe import errors, versions

        try:
            versions.Requirement.parse(str(text))
        except errors.RecipeError as error:
            raise self._refusal(name, f"version: {error.reason}") from error
        return str(text)

    def _refusal(self, name: str, reason: str) -> FleetError:
        where = f"{DESIRED}/{name}" if name else DESIRED
        return FleetError(f"{self.origin(name)}: {where}: {reason}")

    def origin(self, component: str = "") -> str:
        """Return the file that says what the device should run of a component, for messages."""
        for name in (f"host_vars/{self.name}", *(f"group_vars/{g}" for g in (*self.groups, "all"))):
            for path, wanted in _statements(self.inventory / name):
                if not component or component in wanted:
                    return path.relative_to(self.inventory.parent.parent).as_posix()
        return f"{self.inventory}: {self.name}"


def _statements(base: Path) -> Iterator[tuple[Path, Any]]:
    """Return the files of a group or a host that state `deployment_components`, and what."""
    import yaml

    class Loader(yaml.CSafeLoader):
        """Takes what Ansible takes: a text in its vault is none of ours."""

    Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)
    for path in _variable_files(base):
        try:
            document = yaml.load(path.read_bytes(), Loader=Loader)  # noqa: S506 - it is a safe one
            wanted = (document or {}).get(DESIRED)
        except (OSError, ValueError, yaml.YAMLError, AttributeError):
            continue
        if wanted is not None:
            yield path, wanted


def _variable_files(base: Path) -> list[Path]:
    """Return the files in which Ansible looks for the variables of a group or a host."""
    within = sorted(
        path
        for path in base.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(base).parts)
        and path.suffix in _VARIABLE_SUFFIXES
    )
    whole = [base.with_name(base.name + suffix) for suffix in _VARIABLE_SUFFIXES]
    return [path for path in (*within, *whole) if path.is_file()]


@dataclass(frozen=True)
class Inventory:
    """Groups with the names of their devices, and the devices."""

    path: Path
    groups: dict[str, tuple[str, ...]]
    devices: dict[str, Device]


def states_deployment(fleet: Inventory, name: str, kind: str = "group_vars") -> bool:
    """Return whether the variables of a group (or `host_vars` of a device) state a deployment."""
    return any(True for _ in _statements(fleet.path / kind / name))


def load_inventory(project: Project, path: Path) -> Inventory:
    """Read an inventory: a folder with `hosts.yml`, `group_vars/` and `host_vars/`, or one file.

    Hosts that Ansible reaches with `ansible_connection: local` are this machine, not devices.
    Refused: files that are no YAML, by file and line, and whatever Ansible refuses.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise FleetError(
            f"cannot read the inventory {project.relative(path)}: no such file or folder"
        )
    contents = _read_files(project, folder)
    cache = project.inventory_cache_dir / f"{_digest(project, path, contents)}.json"
    answer = files.read_state(cache)
    if not answer:
        from verge.fleet import ansible_inventory

        _check_syntax(contents)
        answer = ansible_inventory.ask(project, path)
        if not ansible_inventory.is_dynamic(folder, contents):
            files.write_json(cache, answer)
    return _inventory(folder, answer)


def _inventory(folder: Path, answer: dict[str, Any]) -> Inventory:
    variables: dict[str, dict[str, Any]] = answer["devices"]
    groups: dict[str, list[str]] = answer["groups"]
    devices = {
        name: Device(
            name=name,
            groups=tuple(group for group in groups if name in groups[group]),
            variables=variables[name],
            deployment_components=variables[name].get(DESIRED) or {},
            inventory=folder,
        )
        for name in sorted(variables)
    }
    return Inventory(folder, {group: tuple(names) for group, names in groups.items()}, devices)


def _read_files(project: Project, folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                found[project.relative(path)] = path.read_bytes()
    except OSError as error:
        raise FleetError(f"cannot read {error.filename}: {describe(error)}") from error
    return found


def _digest(project: Project, path: Path, contents: dict[str, bytes]) -> str:
    found = hashlib.sha256(f"{_FORMAT} {path}\n".encode())
    config = project.root / "ansible.cfg"
    # Templates name in quotes what they look up in the environment.
    named = {name for content in contents.values() for name in _QUOTED.findall(content)}
    settings = {
        name: text
        for name, text in os.environ.items()
        if name.startswith("ANSIBLE_") or os.fsencode(name) in named
    }
    found.update(json.dumps(settings, sort_keys=True).encode())
    found.update(config.read_bytes() if config.is_file() else b"")
    for name, content in contents.items():
        found.update(f"\n{name} {len(content)}\n".encode() + content)
    return found.hexdigest()[:32]


def _check_syntax(contents: dict[str, bytes]) -> None:
    import yaml

    for name, content in contents.items():
        if not name.endswith((".yml", ".yaml")) or content.startswith(b"$ANSIBLE_VAULT"):
            continue
        try:
            yaml.compose(content, Loader=yaml.CSafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{name}:{mark.line + 1}" if mark else name
            reason = error.problem or error.context
            raise FleetError(f"{place}: cannot be read as YAML: {reason}") from error
        except yaml.YAMLError as error:
            raise FleetError(f"{name}: cannot be read as YAML: {error}") from error


def resolve_deployment(release: Bundle, device: Device) -> dict[str, str]:
    """Return the version of each component that the device gets from a bundle, by name.

    These are the components its `deployment_components` names and all they depend on. Refused, with
    the file that asks for it: a component the bundle lacks, a range its version does not satisfy.
    """
    from verge.recipe import loading, versions

    found: dict[str, str] = {}
    pending: list[str] = []
    for name, desired in device.deployment.items():
        version = release.versions.get(name)
        if version is None:
            if _is_elsewhere(name):
                continue
            raise FleetError(
                f"{device.origin(name)}: {DESIRED}/{name}: cannot deploy {name} to {device.name}: "
                "components/ has no component of that name",
                f"`./inv new {name}` makes one; there are {', '.join(sorted(release.versions))}",
            )
        if not versions.Requirement.parse(desired.requirement).allows(version):
            raise FleetError(
                f"{device.origin(name)}: {DESIRED}/{name}/version: cannot satisfy "
                f"{desired.requirement!r} for {device.name}: the bundle has {name} {version}",
                "widen the range, or change the version in the component's gdk-config.json",
            )
        pending.append(name)
    while pending:
        name = pending.pop()
        if name in found:
            continue
        entry = release.document["components"][name]
        found[name] = entry["version"]
        recipe = loading.load_recipe(release.path / entry["recipe"])
        pending += [need for need in recipe.dependencies if need in release.versions]
    return dict(_sorted(found))


def _is_elsewhere(name: str) -> bool:
    from verge.fleet import dependencies

    return name.startswith(dependencies.PROVIDED)


def _sorted(found: dict[str, str]) -> Iterator[tuple[str, str]]:
    return iter(sorted(found.items()))
