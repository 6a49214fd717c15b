"""What the verbs print, for people and for machines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from verge.fleet import (
    cloud_endpoints,
    cloud_process,
    devices,
    errors,
    operations,
    playbook,
    report,
    up,
)

FOUND: dict[str, Any] = {
    "timings_ms": {"total": 41.6},
    "detections": [
        {"label": "cat", "score": 0.591, "box": [2.2, 0.1, 439.4, 298.0]},
        {"label": "bowl", "score": 0.4, "box": [1.0, 2.0, 3.0, 4.0]},
    ],
}


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_each_detection_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Detections of one picture stand below each other under its name."""
    report.print_sightings([devices.Sighting("press-01", "cat.png", FOUND)])
    lines = _lines(capsys)
    assert "press-01 cat.png cat 0.59 2, 0, 439, 298 42 ms" in lines
    assert "bowl 0.40 1, 2, 3, 4" in lines


def test_picture_without_detection_and_rejection_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A picture with nothing on it says so, and a rejected one says why."""
    empty = {"timings_ms": {"total": 7.0}, "detections": []}
    report.print_sightings(
        [
            devices.Sighting("press-01", "wall.png", empty),
            devices.Sighting("press-01", "text.png", {"reason": "is no picture"}),
        ]
    )
    lines = _lines(capsys)
    assert "press-01 wall.png nothing 7 ms" in lines
    assert "press-01 text.png rejected: is no picture" in lines


def test_nothing_changed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A run of `up` that changed nothing says so, and what to try next."""
    report.print_up(up.UpResult(changes=[], sightings=[], seconds=9.0))
    lines = _lines(capsys)
    assert "Nothing to change: everything is as declared (9.0 s)." in lines
    assert any(line.startswith("./inv drop PICTURE") for line in lines)


def test_sick_device_fails_the_command_and_shows_its_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A broken component makes `inv status` fail, with the last lines of its log."""
    broken = {"name": "a.B", "version": "1.0.0", "state": "BROKEN", "status_reason": "exit code 3"}
    status = operations.DeviceStatus(
        "press-01", components=[broken], logs={"a.B": ["the lens cap is on"]}
    )
    with pytest.raises(errors.FleetError, match="1 of 1 devices are not healthy: press-01"):
        report.print_status([status])
    lines = _lines(capsys)
    assert "press-01 a.B 1.0.0 BROKEN exit code 3" in lines
    assert "the lens cap is on" in lines


def test_status_of_a_device_that_does_not_answer_is_json_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Machines read of an unreachable device, too."""
    status = operations.DeviceStatus("press-01", error="cannot be reached")
    with pytest.raises(errors.FleetError):
        report.print_status([status], as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["press-01"]["healthy"] is False
    assert document["press-01"]["error"] == "cannot be reached"


def test_deployment_shows_versions_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    """What a check found is told by component, with the value before and after."""
    changes: list[dict[str, Any]] = [
        {"component": "a.B", "action": "upgrade", "before": "1.0.0", "after": "1.0.1", "path": ""},
        {"component": "a.B", "action": "configure", "before": None, "after": "5", "path": "/rate"},
    ]
    result = playbook.PlaybookResult(
        "deploy_offline",
        hosts={"press-01": playbook.HostSummary(changed=1), "press-02": playbook.HostSummary()},
        deployments={"press-01": changes},
    )
    report.print_playbook(result, check=True)
    lines = _lines(capsys)
    assert "press-01 a.B upgrade 1.0.0 → 1.0.1" in lines
    assert "press-01 a.B configure /rate 5" in lines
    assert "press-02 unchanged" in lines
    assert "This was a check: nothing was changed." in lines


def test_the_cloud_is_told_with_its_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    """API, page and devices' addresses have a line each; without a process there is an error."""
    endpoints = cloud_endpoints.Endpoints(
        pid=7,
        api="http://127.0.0.1:4566",
        region="eu-west-1",
        account="123456789012",
        device_addresses=("10.88.0.1",),
        device_port=8443,
        mqtt_port=8883,
        ca_certificate="/ca.pem",
    )
    report.print_cloud(cloud_process.Status(True, endpoints))
    lines = _lines(capsys)
    assert "API http://127.0.0.1:4566 (account 123456789012, eu-west-1)" in lines
    assert any(line.startswith("page http://127.0.0.1:4566/_console ") for line in lines)
    assert "devices https 10.88.0.1:8443, mqtt 10.88.0.1:8883" in lines
    with pytest.raises(errors.FleetError, match="it does not run"):
        report.print_cloud(cloud_process.Status(False, reason="it does not run"))
