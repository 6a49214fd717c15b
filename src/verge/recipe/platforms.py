"""Which manifest is for which device (contract 1.5)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from verge.recipe import errors, model

_SYSTEMS = frozenset({"linux", "darwin", "windows"})
_ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "i386": "x86",
    "i486": "x86",
    "i586": "x86",
    "i686": "x86",
    "x86": "x86",
    "aarch64": "aarch64",
    "arm64": "aarch64",
}
_ARM_DETAILS = frozenset({"armv6l", "armv7l", "armv8l", "armv6b", "armv7b", "armv8b"})
_ANY_WORDS = frozenset({"all", "any"})  # legacy words of `os` and `architecture`


def detect_platform(
    *,
    machine: str | None = None,
    system: str | None = None,
    override: Mapping[str, object] | None = None,
) -> dict[str, str]:
    """Return the platform attributes of a device, this one unless its names are given.

    `machine` and `system` are as `uname -m` and `uname -s` print them; text values of `override`
    (the nucleus setting `platformOverride`) are added or replace what was detected. `runtime` is
    left unset, so that manifests for Greengrass Lite are passed over (contract 1.5).
    """
    names = os.uname()
    machine = (names.machine if machine is None else machine).lower()
    system = (names.sysname if system is None else system).lower()
    architecture = _ARCHITECTURES.get(machine, "arm" if "arm" in machine else "unknown")
    attributes = {
        "os": system if system in _SYSTEMS else "unknown",
        "architecture": architecture,
    }
    if architecture == "arm" and machine in _ARM_DETAILS:
        attributes["architecture.detail"] = machine
    texts = {key: value for key, value in (override or {}).items() if isinstance(value, str)}
    return attributes | texts


def matches(platform: Mapping[str, str | None] | None, attributes: Mapping[str, str]) -> bool:
    """Return whether a device with these attributes is one the manifest's `Platform` names.

    A regular expression that cannot be read raises RecipeError with the path `Platform/<key>`.
    """
    return all(
        _matches_one(key, template, attributes.get(key))
        for key, template in (platform or {}).items()
    )


def select_manifest(recipe: model.Recipe, attributes: Mapping[str, str]) -> model.Manifest | None:
    """Return the first manifest for a device with these attributes, or None."""
    for index, manifest in enumerate(recipe.manifests):
        try:
            if matches(manifest.platform, attributes):
                return manifest
        except errors.RecipeError as error:
            raise error.located(path=f"Manifests/{index}") from None
    return None


def _matches_one(key: str, template: str | None, value: str | None) -> bool:
    if template is None or template == "*":
        return True
    if key in {"os", "architecture"} and template in _ANY_WORDS:
        return True
    if value is None:
        return False
    if len(template) >= 2 and template.startswith("/") and template.endswith("/"):
        return expression(key, template).fullmatch(value) is not None
    return template[:1].isascii() and template[:1].isalnum() and template == value


def expression(key: str, template: str) -> re.Pattern[str]:
    """Return the regular expression of a template `/…/` for the attribute `key`."""
    try:
        return re.compile(template[1:-1])
    except (re.error, OverflowError, RecursionError) as error:
        reason = f"cannot read the regular expression {template}: {error}"
        raise errors.RecipeError(reason, path=f"Platform/{key}") from None
