"""What a deployment changes, and what each change asks of a component. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from verge.nucleus import settings
from verge.nucleus.ipc.host import PlannedChange
from verge.nucleus.lifecycle.supervisor import Reaction
from verge.nucleus.store import state, tree
from verge.recipe import versions


def changes(before: state.DeviceState, after: state.DeviceState) -> list[PlannedChange]:
    """Return every difference, by component: what is installed, configured and removed."""
    found: list[PlannedChange] = []
    for name in sorted({*before.components, *after.components}):
        found += _component_changes(name, before.components.get(name), after.components.get(name))
        if name in before.components and name in after.components:
            found += _configuration_changes(name, before, after)
            found += _run_with_changes(name, before, after)
    for name in settings.OWN:
        found += _configuration_changes(name, before, after)
    return found + list(_root_changes(before, after))


def _component_changes(
    name: str, before: state.Installed | None, after: state.Installed | None
) -> list[PlannedChange]:
    if before is None:
        assert after is not None  # noqa: S101 - the name is in one of the two
        return [PlannedChange(name, "install", None, after.version)]
    if after is None:
        return [PlannedChange(name, "remove", before.version, None)]
    if before.version != after.version:
        newer = versions.Version.parse(after.version) > versions.Version.parse(before.version)
        action = "upgrade" if newer else "downgrade"
        return [PlannedChange(name, action, before.version, after.version)]
    if (before.recipe_text, before.content) != (after.recipe_text, after.content):
        return [PlannedChange(name, "reinstall", before.version, after.version)]
    return []


def _configuration_changes(
    name: str, before: state.DeviceState, after: state.DeviceState
) -> Iterator[PlannedChange]:
    old = before.configuration.get(name, {})
    new = after.configuration.get(name, {})
    for path in tree.changed_leaves(old, new):
        yield PlannedChange(
            name, "configure", _text(old, path), _text(new, path), tree.format_pointer(path)
        )


def _run_with_changes(
    name: str, before: state.DeviceState, after: state.DeviceState
) -> Iterator[PlannedChange]:
    run_before, run_after = before.components[name], after.components[name]
    for field, spelling in (
        ("posix_user", "/runWith/posixUser"),
        ("memory_kilobytes", "/runWith/systemResourceLimits/memory"),
        ("cpus", "/runWith/systemResourceLimits/cpus"),
    ):
        old_value, new_value = getattr(run_before, field), getattr(run_after, field)
        if old_value != new_value:
            yield PlannedChange(
                name, "configure", json.dumps(old_value), json.dumps(new_value), spelling
            )


def _root_changes(before: state.DeviceState, after: state.DeviceState) -> Iterator[PlannedChange]:
    """Say who asks for a component where that alone changes; it decides what may go later."""
    for name in sorted({*before.components} & {*after.components}):
        old, new = _groups_of(name, before), _groups_of(name, after)
        if old != new:
            yield PlannedChange(name, "configure", json.dumps(old), json.dumps(new), "/groups")


def _groups_of(name: str, device: state.DeviceState) -> list[str]:
    return sorted(group for group, roots in device.roots.items() if name in roots)


def _text(configuration: tree.Tree, path: tree.Path) -> str | None:
    try:
        return json.dumps(tree.plain(tree.lookup(configuration, path)), ensure_ascii=False)
    except KeyError:
        return None


def reactions(
    before: Mapping[str, state.Installed], after: Mapping[str, state.Installed]
) -> dict[str, Reaction]:
    """Return what the new and changed components have to do; unchanged ones are not in it."""
    return {
        name: Reaction.REINSTALL if name not in before else _reaction(before[name], installed)
        for name, installed in after.items()
        if before.get(name) != installed
    }


def _reaction(before: state.Installed, after: state.Installed) -> Reaction:
    """Compare as the table of contract 2.8 does."""
    old, new = _lower_keys(before.lifecycle), _lower_keys(after.lifecycle)
    identity = (before.version, before.content, before.posix_user, old.get("install"))
    if identity != (after.version, after.content, after.posix_user, new.get("install")):
        return Reaction.REINSTALL
    for quiet in ("shutdown", "bootstrap", "uninstall"):
        old.pop(quiet, None)
        new.pop(quiet, None)
    gained = set(after.dependencies.items()) - set(before.dependencies.items())
    return Reaction.RESTART if old != new or gained else Reaction.NONE


def _lower_keys(lifecycle: Mapping[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in lifecycle.items()}
