"""Which nucleus a device has, and what is asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from verge.fleet import devices, errors, inventory, lite, nuclei, project


def device(**variables: str) -> inventory.Device:
    """Return a device with these variables."""
    return inventory.Device("press-01", (), variables, {})


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that stands in for SSH: what it prints, a device answers."""
    script = tmp_path / "ssh"
    script.touch(mode=0o755)
    monkeypatch.setattr(devices, "ssh_command", lambda *_: [str(script)])
    return script


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({}, nuclei.Embedded),
        ({"greengrass_nucleus": "embedded"}, nuclei.Embedded),
        ({"greengrass_nucleus": "lite"}, lite.Lite),
    ],
    ids=["nothing said", "embedded", "lite"],
)
def test_the_inventory_names_the_nucleus(
    tmp_path: Path, variables: dict[str, str], kind: type
) -> None:
    """`greengrass_nucleus` decides; the embedded one needs no word."""
    assert type(nuclei.of(project.Project(tmp_path), device(**variables))) is kind


def test_an_unknown_nucleus_is_refused(tmp_path: Path) -> None:
    """What cannot be asked is named, with what could."""
    with pytest.raises(
        errors.FleetError, match="press-01: greengrass_nucleus is 'classic'"
    ) as told:
        nuclei.of(project.Project(tmp_path), device(greengrass_nucleus="classic"))
    assert told.value.hint == "set it to embedded or lite"


def test_the_embedded_one_answers_by_its_command(tmp_path: Path, answering: Path) -> None:
    """The list is what `verge-nucleus list --json` prints, and the log what `logs` prints."""
    answering.write_text(
        '#!/bin/sh\ncase "$*" in *"verge-nucleus list --json"*) echo '
        '\'{"components": [{"name": "app", "version": "1.0.0", "state": "RUNNING"}]}\';;'
        '*"verge-nucleus logs app --lines 2"*) printf "one\\ntwo\\n";; *) exit 9;; esac\n',
        encoding="utf-8",
    )
    where = project.Project(tmp_path)
    assert nuclei.of(where, device()).list_components() == [
        {"name": "app", "version": "1.0.0", "state": "RUNNING"}
    ]
    assert nuclei.read_log(where, device(), "app", 2) == ["one", "two"]


@pytest.mark.parametrize("answer", ["echo 'no such command' >&2", "echo '{}'"])
def test_an_embedded_one_that_does_not_answer_is_named(
    tmp_path: Path, answering: Path, answer: str
) -> None:
    """A device without its nucleus is an error with a next step."""
    answering.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
    with pytest.raises(devices.DeviceError, match="press-01: the nucleus does not answer"):
        nuclei.of(project.Project(tmp_path), device()).list_components()


def test_a_nucleus_that_needs_a_cloud_is_not_deployed_to_without(tmp_path: Path) -> None:
    """The device is named before anything is done to another."""
    where = project.Project(tmp_path)
    nuclei.require_bundles(where, [device(), device()])
    with pytest.raises(errors.FleetError, match="cannot deploy to press-01 without a cloud"):
        nuclei.require_bundles(where, [device(), device(greengrass_nucleus="lite")])
