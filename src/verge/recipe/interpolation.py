"""Variables in lifecycle scripts: `{configuration:/topic}`, `{work:path}` (contract 1.8)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from verge.recipe import pointer

_VARIABLE = re.compile(r"\{(?:([.\w-]+):)?([.\w-]+):([^:}]*)\}", re.ASCII)


class Unresolved(msgspec.Struct, frozen=True):
    """A placeholder that stays in the text: where it is (`run/Script`) and why it stays."""

    placeholder: str
    reason: str
    path: str = ""


class Lookup(Protocol):
    """Gives the value of a variable, or raises LookupError with the reason there is none."""

    def __call__(self, component: str | None, namespace: str, key: str) -> Any:
        """Return the value; `component` is None where the variable is the component's own."""


Report = Callable[[Unresolved], None]


class ComponentValues(msgspec.Struct, frozen=True):
    """What variables can say about one component: its resolved configuration and its paths."""

    configuration: Mapping[str, Any]
    artifacts_path: str
    decompressed_path: str
    work_path: str

    @classmethod
    def under(
        cls, root: str, name: str, version: str, configuration: Mapping[str, Any]
    ) -> ComponentValues:
        """Return the values of a component in the directory layout of contract 1.8."""
        return cls(
            configuration=configuration,
            artifacts_path=f"{root}/packages/artifacts/{name}/{version}",
            decompressed_path=f"{root}/packages/artifacts-unarchived/{name}/{version}",
            work_path=f"{root}/work/{name}",
        )


class Namespace:
    """The lookup of one component: itself, the device and its direct dependencies.

    `system_only` leaves out `configuration`, as contract 1.8 asks for where configuration values
    themselves are interpolated.
    """

    def __init__(
        self,
        own: ComponentValues,
        dependencies: Mapping[str, ComponentValues],
        *,
        root_path: str,
        thing_name: str | None = None,
        system_only: bool = False,
    ) -> None:
        self._own = own
        self._dependencies = dependencies
        self._device = {("kernel", "rootPath"): root_path}
        if thing_name is not None:
            self._device["iot", "thingName"] = thing_name
        self._system_only = system_only

    def __call__(self, component: str | None, namespace: str, key: str) -> Any:
        """Return the value of `{namespace:key}` or `{component:namespace:key}`."""
        if component is None:
            device = self._device.get((namespace, key))
            return device if device is not None else self._of(self._own, namespace, key)
        if component not in self._dependencies:
            raise LookupError(f"{component} is not a direct dependency")
        return self._of(self._dependencies[component], namespace, key)

    def _of(self, values: ComponentValues, namespace: str, key: str) -> Any:
        match namespace, key:
            case "configuration", _ if not self._system_only:
                return pointer.resolve(values.configuration, key)
            case "artifacts", "path":
                return values.artifacts_path
            case "artifacts", "decompressedPath":
                return values.decompressed_path
            case "work", "path":
                return values.work_path
        raise LookupError(f"there is no variable {namespace}:{key}")


def interpolate(text: str, lookup: Lookup, report: Report | None = None, *, path: str = "") -> str:
    """Return the text with its variables replaced.

    A placeholder without a value stays as it is and is told to `report` with the reason. Text
    that a value brings in is not looked at again.
    """

    def replace(match: re.Match[str]) -> str:
        try:
            return render(lookup(*match.groups()))
        except LookupError as error:
            if report is not None:
                report(Unresolved(match[0], str(error.args[0]) if error.args else "", path))
            return match[0]

    return _VARIABLE.sub(replace, text) if "{" in text else text


def interpolate_tree(
    value: Any, lookup: Lookup, report: Report | None = None, *, path: str = ""
) -> Any:
    """Return a copy in which every string is interpolated, through mappings and lists.

    Keys of mappings stay as they are.
    """
    if isinstance(value, str):
        return interpolate(value, lookup, report, path=path)
    if isinstance(value, Mapping):
        return {
            key: interpolate_tree(item, lookup, report, path=f"{path}/{key}".lstrip("/"))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            interpolate_tree(item, lookup, report, path=f"{path}/{index}".lstrip("/"))
            for index, item in enumerate(value)
        ]
    return value


def placeholders(text: str) -> list[tuple[str, str | None, str, str]]:
    """Return each variable in the text: as written, its component or None, namespace and key."""
    return [(m[0], m[1], m[2], m[3]) for m in _VARIABLE.finditer(text)]


def render(value: Any) -> str:
    """Return the text a value has inside a script; objects and lists are compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
