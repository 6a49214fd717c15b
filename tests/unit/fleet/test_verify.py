"""What a device says of itself, held against what it should run."""

from __future__ import annotations

from pathlib import Path

import pytest

from verge.fleet import devices, inventory, nuclei, project, verify

WANTED = {"app": "1.0.0", "library": "2.0.0"}


def listing(*states: tuple[str, str, str]) -> list[dict[str, str]]:
    """Return what a nucleus says."""
    return [{"name": name, "version": version, "state": state} for name, version, state in states]


@pytest.mark.parametrize(
    ("found", "lacking"),
    [
        (listing(("app", "1.0.0", "RUNNING"), ("library", "2.0.0", "FINISHED")), []),
        (
            listing(("app", "0.9.0", "RUNNING"), ("library", "2.0.0", "ERRORED")),
            ["app 0.9.0 is RUNNING", "library 2.0.0 is ERRORED"],
        ),
        (listing(("app", "1.0.0", "STARTING")), ["app 1.0.0 is STARTING", "library is not there"]),
    ],
    ids=["all at work", "old and failed", "starting and absent"],
)
def test_what_is_lacking_is_named(found: list[dict[str, str]], lacking: list[str]) -> None:
    """Version and state both count."""
    assert verify.find_lacking(found, WANTED) == lacking


def test_a_device_is_waited_for_and_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starting takes a moment; what never starts is an error that names the device."""
    good = listing(("app", "1.0.0", "RUNNING"), ("library", "2.0.0", "FINISHED"))
    answers = [listing(("app", "1.0.0", "STARTING")), good]
    monkeypatch.setattr(
        nuclei.Embedded, "list_components", lambda _: answers.pop(0) if answers else []
    )
    fleet = [inventory.Device("press-01", (), {}, {}, tmp_path)]
    waits: list[float] = []
    where = project.Project(tmp_path)
    verify.verify_devices(where, fleet, {"press-01": WANTED}, sleep=waits.append)
    assert len(waits) == 1
    with pytest.raises(devices.DeviceError, match="press-01: does not run what it should"):
        verify.verify_devices(where, fleet, {"press-01": WANTED}, seconds=-1)


def test_a_device_that_starts_again_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that does not answer for a moment is asked again; its last word is told."""
    good = listing(("app", "1.0.0", "RUNNING"), ("library", "2.0.0", "FINISHED"))
    silent = [True]

    def answer(_: object) -> list[dict[str, str]]:
        if silent and silent.pop():
            raise devices.DeviceError("press-01", "cannot be reached over SSH: refused", "")
        return good

    monkeypatch.setattr(nuclei.Embedded, "list_components", answer)
    fleet = [inventory.Device("press-01", (), {}, {}, tmp_path)]
    waits: list[float] = []
    where = project.Project(tmp_path)
    verify.verify_devices(where, fleet, {"press-01": WANTED}, sleep=waits.append)
    assert len(waits) == 1
    silent.append(True)
    with pytest.raises(devices.DeviceError, match="what it should: cannot be reached over SSH"):
        verify.verify_devices(where, fleet, {"press-01": WANTED}, seconds=-1)
