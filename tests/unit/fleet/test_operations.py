"""Which devices a verb acts on."""

from __future__ import annotations

from pathlib import Path

import pytest

from verge.fleet import errors, inventory, operations


@pytest.fixture
def fleet() -> inventory.Inventory:
    """Return two devices, one of them in a group."""
    devices = {
        name: inventory.Device(name=name, groups=(), variables={}, deployment_components={})
        for name in ("a", "b")
    }
    return inventory.Inventory(path=Path("inventory"), groups={"line": ("a",)}, devices=devices)


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (operations.Target(device="b"), ["b"]),
        (operations.Target(group="line"), ["a"]),
        (operations.Target(everything=True), ["a", "b"]),
    ],
    ids=["device", "group", "all"],
)
def test_devices_are_chosen(
    fleet: inventory.Inventory, target: operations.Target, names: list[str]
) -> None:
    """A device, a group or everything can be named."""
    assert [device.name for device in operations.select_devices(fleet, target)] == names


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (operations.Target(), "no --group or --device given"),
        (operations.Target(group="none"), "cannot find group none"),
        (operations.Target(device="none"), "cannot find device none"),
        (operations.Target(device="b", everything=True), "--device and --all are given together"),
        (operations.Target(group="line", device="b"), "--group and --device are given together"),
    ],
    ids=["nothing", "unknown group", "unknown device", "one and all", "one and a group"],
)
def test_wrong_choice_is_refused(
    fleet: inventory.Inventory, target: operations.Target, message: str
) -> None:
    """Nothing is done to devices that nobody named, and an unknown name has a next step."""
    with pytest.raises(errors.FleetError, match=message) as told:
        operations.select_devices(fleet, target)
    assert told.value.hint


def test_a_verb_on_one_device_asks_which(fleet: inventory.Inventory) -> None:
    """Where one device is needed and none is named, the refusal names the option and the choice."""
    with pytest.raises(errors.FleetError, match="no --device given") as told:
        operations.find_device(fleet, "")
    assert told.value.hint == "devices: a, b"
