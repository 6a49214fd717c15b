"""Access to devices, through a command `ssh` that runs everything on this machine."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from verge.fleet import devices, errors, inventory, project

LOCAL_SSH = """#!/bin/sh
# The last argument is the command for the device.
for command; do :; done
exec sh -c "$command"
"""
DEAD_SSH = """#!/bin/sh
echo "ssh: connect to host 10.0.0.1 port 22: No route to host" >&2
exit 255
"""


def _put_ssh(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "ssh").write_text(script, encoding="utf-8")
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def checkout(tmp_path: Path) -> project.Project:
    """Return an empty project."""
    return project.Project(tmp_path)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> inventory.Device:
    """Return a device whose directories are on this machine."""
    _put_ssh(tmp_path / "bin", LOCAL_SSH, monkeypatch)
    return _device(tmp_path)


def _device(folder: Path) -> inventory.Device:
    for kind in ("pictures", "results"):
        (folder / kind).mkdir()
    return inventory.Device(
        name="press-01",
        groups=("line",),
        variables={
            "ansible_host": "127.0.0.1",
            "site_picture_directory": str(folder / "pictures"),
            "site_result_directory": str(folder / "results"),
        },
        deployment_components={},
    )


@pytest.fixture
def detector(tmp_path: Path, device: inventory.Device) -> Iterator[None]:
    """Answer the first picture that appears on the device, with an annotated picture."""
    pictures = Path(device.variables["site_picture_directory"])
    results = Path(device.variables["site_result_directory"])

    def answer() -> None:
        while not (found := [path for path in pictures.iterdir() if path.suffix == ".png"]):
            pass
        (results / "1.jpg").write_bytes(b"annotated")
        document = {
            "id": "1",
            "picture": {"path": str(found[0])},
            "detections": [],
            "annotated": str(results / "1.jpg"),
        }
        (tmp_path / "1.json").write_text(json.dumps(document), encoding="utf-8")
        (tmp_path / "1.json").rename(results / "1.json")

    thread = threading.Thread(target=answer)
    thread.start()
    yield
    thread.join()


@pytest.mark.usefixtures("detector")
def test_dropped_picture_comes_back_with_result_and_annotation(
    checkout: project.Project, device: inventory.Device
) -> None:
    """Dropping a picture returns its result and fetches the annotated picture."""
    picture = checkout.root / "a cat's.png"
    picture.write_bytes(b"\x00picture" * 100_000)
    sighting = devices.drop_picture(checkout, device, picture)
    assert sighting.document["id"] == "1"
    assert (checkout.root / "pictures" / "a cat's.png").read_bytes() == picture.read_bytes()
    assert sighting.annotated == checkout.results_dir / "press-01" / "a cat's.jpg"
    assert sighting.annotated.read_bytes() == b"annotated"


def test_missing_result_names_device_and_picture(
    checkout: project.Project, device: inventory.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture without a result in time is an error that names both and says where to look."""
    monkeypatch.setattr(devices, "RESULT_PATIENCE", 0.05)
    (checkout.root / "x.png").write_bytes(b"x")
    with pytest.raises(devices.DeviceError, match=r"press-01: no result for x\.png") as caught:
        devices.drop_picture(checkout, device, checkout.root / "x.png")
    assert "./inv logs" in (caught.value.hint or "")


def test_missing_directory_is_told(checkout: project.Project, device: inventory.Device) -> None:
    """A device that was not provisioned says what is missing."""
    (checkout.root / "results").rmdir()
    (checkout.root / "x.png").write_bytes(b"x")
    with pytest.raises(devices.DeviceError, match=r"cannot take x\.png: FileNotFoundError"):
        devices.drop_picture(checkout, device, checkout.root / "x.png")


def test_missing_picture_is_told(checkout: project.Project, device: inventory.Device) -> None:
    """A picture that does not exist on this machine is refused before any device is asked."""
    with pytest.raises(errors.FleetError, match=r"cannot read .*none\.png: No such file"):
        devices.drop_picture(checkout, device, checkout.root / "none.png")


def test_unreachable_device_is_named(
    checkout: project.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that SSH does not reach is named, with SSH's own reason and a next step."""
    _put_ssh(tmp_path / "bin", DEAD_SSH, monkeypatch)
    with pytest.raises(devices.DeviceError, match=r"press-01: cannot be reached.*No route") as told:
        devices.run_remote(checkout, _device(tmp_path), ["true"])
    assert told.value.hint


def test_device_that_was_never_made_is_told(checkout: project.Project) -> None:
    """A simulated device before the first `./inv up` is not looked for on the network."""
    device = inventory.Device(name="a", groups=(), variables={}, deployment_components={})
    with pytest.raises(devices.DeviceError, match="a: does not exist yet") as told:
        devices.run_remote(checkout, device, ["true"])
    assert "./inv up" in (told.value.hint or "")


def test_one_failing_device_does_not_hide_the_others(tmp_path: Path) -> None:
    """Work on many devices returns an answer or an error for each, in order."""
    first, second = (
        inventory.Device(name=name, groups=(), variables={}, deployment_components={})
        for name in ("a", "b")
    )

    def work(device: inventory.Device) -> str:
        if device.name == "a":
            raise devices.DeviceError("a", "is gone", "")
        return "fine"

    answers = [answer for _, answer in devices.for_each([first, second], work)]
    assert isinstance(answers[0], devices.DeviceError)
    assert answers[1] == "fine"
