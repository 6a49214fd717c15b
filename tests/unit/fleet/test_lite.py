"""What the units of AWS's nucleus Lite tell of its components."""

from __future__ import annotations

from pathlib import Path

import pytest

from verge.fleet import devices, inventory, lite, project


def unit(name: str, phase: str = "", version: str = "1.0.2", **told: str) -> str:
    """Return what `systemctl show` says of a unit of Lite."""
    word = phase.removeprefix(".") or "run"
    values = {
        "Id": f"ggl.{name}{phase}.service",
        "ActiveState": "inactive",
        "InactiveEnterTimestampMonotonic": "71000000",
        "NRestarts": "0",
        "Result": "success",
        "ExecMainStatus": "0",
        "ExecStart": f"{{ path=/usr/bin/recipe-runner ; argv[]=/usr/bin/recipe-runner -n {name} "
        f"-v {version} -p {word} ; ignore_errors=no ; start_time=[n/a] ; code=(null) }}",
        **told,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def core(name: str) -> str:
    """Return what is said of a unit of Lite itself."""
    start = f"{{ path=/usr/bin/{name} ; argv[]=/usr/bin/{name} ; ignore_errors=no }}"
    return f"Id=ggl.core.{name}.service\nActiveState=active\nExecStart={start}\n"


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"ActiveState": "active"}, "RUNNING"),
        ({"ActiveState": "reloading"}, "RUNNING"),
        ({"ActiveState": "activating"}, "STARTING"),
        ({"ActiveState": "deactivating"}, "STOPPING"),
        ({}, "FINISHED"),
        ({"InactiveEnterTimestampMonotonic": "0"}, "INSTALLED"),
        ({"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "3"}, "ERRORED"),
        ({"ActiveState": "failed", "Result": "exit-code", "NRestarts": "3"}, "BROKEN"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_unit_stands_for_the_state_of_its_component(told: dict[str, str], state: str) -> None:
    """States of systemd are read as Lite reads them itself."""
    (found,) = lite.read_units(unit("app", **told))
    assert (found["name"], found["version"], found["state"]) == ("app", "1.0.2", state)


def test_a_component_is_told_once_and_lite_itself_is_none() -> None:
    """Install and run are units of one component; Lite's own are left out."""
    shown = "\n".join([core("ggconfigd"), unit("b", ".install"), unit("b", ActiveState="active")])
    assert [(item["name"], item["state"]) for item in lite.read_units(f"{shown}\n{unit('a')}")] == [
        ("a", "FINISHED"),
        ("b", "RUNNING"),
    ]


def test_a_failed_installation_is_what_keeps_a_component_from_running() -> None:
    """The reason names the unit that failed and its exit code."""
    failed = unit("app", ".install", ActiveState="failed", Result="exit-code", ExecMainStatus="7")
    waiting = unit("app", InactiveEnterTimestampMonotonic="0")
    (found,) = lite.read_units(f"{failed}\n{waiting}")
    assert found["state"] == "ERRORED"
    assert found["status_reason"] == "exit-code, exit code 7: ggl.app.install.service"


def test_without_units_there_is_nothing() -> None:
    """A device to which nothing was deployed has no components."""
    assert lite.read_units("\n") == []
    assert lite.read_units(core("ggconfigd")) == []


def test_logs_are_those_of_the_units(tmp_path: Path) -> None:
    """A component's log holds its installation, too; `greengrass` means Lite itself."""
    device = inventory.Device("press-01", (), {}, {}, tmp_path)
    nucleus = lite.Lite(project.Project(tmp_path), device)
    command = nucleus.log_command("app", 20, follow=True)
    assert command[:3] == ["sudo", "-n", "journalctl"]
    assert {"--unit=ggl.app.install.service", "--unit=ggl.app.service"} <= set(command)
    assert {"--lines=20", "--follow"} <= set(command)
    assert "--unit=ggl.core.*" in nucleus.log_command("greengrass", 5)
    assert "--follow" not in nucleus.log_command("greengrass", 5)


def test_a_device_whose_systemd_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has what the device said."""
    script = tmp_path / "ssh"
    script.write_text("#!/bin/sh\necho 'no bus' >&2\nexit 1\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(devices, "ssh_command", lambda *_: [str(script)])
    device = inventory.Device("press-01", (), {}, {}, tmp_path)
    with pytest.raises(devices.DeviceError, match="press-01: systemd does not answer: no bus"):
        lite.Lite(project.Project(tmp_path), device).list_components()
