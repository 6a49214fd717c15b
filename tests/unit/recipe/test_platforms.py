"""Which manifest is for which device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from verge.recipe import errors, model, platforms

CASES = Path(__file__).parents[2] / "cases" / "recipe"
TABLE = yaml.safe_load((CASES / "platforms.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in TABLE])
def test_platforms_match_as_the_contract_says(case: dict[str, Any]) -> None:
    """A platform matches a device as the table says."""
    assert platforms.matches(case["platform"], case["device"]) is case["matches"]


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", {"architecture": "amd64"}),
        ("AMD64", {"architecture": "amd64"}),
        ("i686", {"architecture": "x86"}),
        ("aarch64", {"architecture": "aarch64"}),
        ("arm64", {"architecture": "aarch64"}),
        ("armv7l", {"architecture": "arm", "architecture.detail": "armv7l"}),
        ("armv5tel", {"architecture": "arm"}),
        ("riscv64", {"architecture": "unknown"}),
    ],
)
def test_architectures_have_the_names_of_greengrass(machine: str, expected: dict[str, str]) -> None:
    """What `uname -m` prints becomes the attribute values of contract 1.5."""
    attributes = platforms.detect_platform(machine=machine, system="Linux")
    assert attributes == {"os": "linux"} | expected


@pytest.mark.parametrize(
    ("system", "expected"),
    [("Linux", "linux"), ("Darwin", "darwin"), ("Windows", "windows"), ("Plan9", "unknown")],
)
def test_systems_have_the_names_of_greengrass(system: str, expected: str) -> None:
    """What `uname -s` prints becomes the attribute `os`."""
    assert platforms.detect_platform(machine="x86_64", system=system)["os"] == expected


def test_this_machine_is_detected() -> None:
    """Without names the attributes are those of the machine that runs."""
    names = os.uname()
    given = platforms.detect_platform(machine=names.machine, system=names.sysname)
    assert platforms.detect_platform() == given
    assert "runtime" not in given


def test_overrides_add_and_replace_text_only() -> None:
    """Text values of `platformOverride` are taken, others are not."""
    override = {"os": "custom", "line": "7", "count": 5, "nothing": None}
    attributes = platforms.detect_platform(machine="x86_64", system="Linux", override=override)
    assert attributes == {"os": "custom", "architecture": "amd64", "line": "7"}


def recipe(*given: dict[str, str | None]) -> model.Recipe:
    manifests = tuple(
        model.Manifest(name=str(index), platform=platform) for index, platform in enumerate(given)
    )
    return model.Recipe(name="a", version="1.0.0", manifests=manifests)


def test_the_first_manifest_that_matches_is_taken() -> None:
    """Order decides, not how closely a manifest describes the device."""
    both = recipe({"os": "windows"}, {"os": "*"}, {"os": "linux", "architecture": "amd64"})
    chosen = platforms.select_manifest(both, {"os": "linux", "architecture": "amd64"})
    assert chosen is both.manifests[1]


def test_a_manifest_for_lite_is_passed_over() -> None:
    """A device without `runtime` takes the manifest after the one pinned to Lite."""
    both = recipe({"os": "linux", "runtime": "aws_nucleus_lite"}, {"os": "linux"})
    chosen = platforms.select_manifest(both, platforms.detect_platform(system="linux"))
    assert chosen is both.manifests[1]


def test_no_manifest_may_match() -> None:
    """A component without a manifest for the device gives None."""
    assert platforms.select_manifest(recipe({"os": "windows"}), {"os": "linux"}) is None
    assert platforms.select_manifest(recipe(), {"os": "linux"}) is None


def test_a_broken_expression_is_refused_with_its_place() -> None:
    """A regular expression that cannot be read names the manifest and the key."""
    with pytest.raises(errors.RecipeError, match="cannot read the regular expression") as caught:
        platforms.select_manifest(recipe({"os": "windows"}, {"os": "/(/"}), {"os": "linux"})
    assert caught.value.path == "Manifests/1/Platform/os"
