"""From the inventory to the deployments of thing groups and things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.fleet import samples
from verge.fleet import errors, inventory, targets
from verge.recipe import model

RECIPES = {
    "com.example.App": model.Recipe(
        "com.example.App", "1.2.0", dependencies={"com.example.Library": model.Dependency("*")}
    ),
    "com.example.Library": model.Recipe(
        "com.example.Library",
        "3.0.1",
        dependencies={"aws.greengrass.TokenExchangeService": model.Dependency("*")},
    ),
    "com.example.Other": model.Recipe("com.example.Other", "0.1.0"),
}
APP = {"com.example.App": {"version": ">=1.0.0", "configuration": {"merge": {"a": "1"}}}}


def make_fleet(
    folder: Path,
    devices: dict[str, tuple[tuple[str, ...], Any]],
    stating: tuple[str, ...] = ("group_vars/line.yml",),
) -> inventory.Inventory:
    """Return an inventory of devices with groups and what they should run."""
    place = folder / "inventory" / "here"
    samples.write_files(place, dict.fromkeys(stating, "deployment_components: {}\n"))
    found = {
        name: inventory.Device(name, groups, {}, wanted, place)
        for name, (groups, wanted) in devices.items()
    }
    groups: dict[str, tuple[str, ...]] = {}
    for device in found.values():
        for group in device.groups:
            groups[group] = (*groups.get(group, ()), device.name)
    return inventory.Inventory(place, groups, found)


def test_a_group_is_one_target_with_exact_versions(tmp_path: Path) -> None:
    """Its components and their dependencies are named with the versions that were published."""
    fleet = make_fleet(tmp_path, {"one": (("line",), APP), "two": (("line",), APP)})
    assert targets.plan_targets(fleet, RECIPES) == [
        targets.Target(
            targets.GROUP,
            "line",
            ("one", "two"),
            {
                "com.example.App": targets.Component("1.2.0", {"a": "1"}, ()),
                "com.example.Library": targets.Component("3.0.1"),
            },
        )
    ]


def test_what_one_device_states_goes_to_the_thing(tmp_path: Path) -> None:
    """`host_vars` make a deployment for the thing, and so does what only `all` states."""
    fleet = make_fleet(
        tmp_path,
        {"one": ((), {"com.example.Other": None}), "two": (("spare",), {})},
        ("host_vars/one/deployment.yml", "group_vars/all.yml"),
    )
    found = [(item.kind, item.name) for item in targets.plan_targets(fleet, RECIPES)]
    assert found == [(targets.THING, "one"), (targets.THING, "two")]


@pytest.mark.parametrize(
    ("devices", "stating", "message"),
    [
        (
            {"one": (("line",), {"com.example.Nothing": {}})},
            ("group_vars/line.yml",),
            "cannot deploy com.example.Nothing",
        ),
        (
            {"one": (("line",), {"com.example.App": {"version": ">=2.0.0"}})},
            ("group_vars/line.yml",),
            "cannot satisfy '>=2.0.0'",
        ),
        (
            {"one": (("line",), APP), "two": (("line",), {})},
            ("group_vars/line.yml",),
            "differs between one and two",
        ),
        (
            {"one": (("line", "yard"), APP)},
            ("group_vars/line.yml", "group_vars/yard.yml"),
            "the groups line and yard both state",
        ),
        (
            {"one": (("line",), APP)},
            ("group_vars/line.yml", "host_vars/one.yml"),
            "its host_vars and group line both state",
        ),
    ],
    ids=["no such component", "range", "differs", "two groups", "host and group"],
)
def test_contradictions_are_refused(
    tmp_path: Path,
    devices: dict[str, tuple[tuple[str, ...], Any]],
    stating: tuple[str, ...],
    message: str,
) -> None:
    """What a cloud could not carry out as it is meant is refused before anything happens."""
    with pytest.raises(errors.FleetError, match=message):
        targets.plan_targets(make_fleet(tmp_path, devices, stating), RECIPES)
