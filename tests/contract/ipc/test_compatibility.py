"""The list of what works says what the nucleus does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.ipc import operations

if TYPE_CHECKING:
    from tests.support import ipc_host

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "compatibility.md"
CONTRACT = ROOT.parent / "shared" / "greengrass-contract.md"
STATES = {"works", "differs", "not yet"}
NUCLEUS_SECTIONS = "1234"
DEVICE_SECTIONS = {"5.7", "5.8", "5.9"}
"""What devices see of the cloud; the rest of section 5 is for those who use its API."""


def rows() -> list[list[str]]:
    """Return the cells of all rows below the heading of the contract."""
    text = PAGE.read_text()
    part = text.partition("## Greengrass contract")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if not set(row[0]) <= {"-"} and "state" not in row]


def of_operations() -> dict[str, str]:
    """Return the state of every operation."""
    return {row[0].strip("`"): row[1] for row in rows() if row[0].startswith("`")}


def test_every_row_has_a_state_and_a_reason() -> None:
    """Whatever does not work as in the contract says why, or what happens instead."""
    for *item, state, note in rows():
        assert state in STATES, item
        assert note or state == "works", item


def test_every_operation_has_its_state(running: ipc_host.RunningServer) -> None:
    """An operation is "not yet" if and only if it has no good answer."""
    served = {name.removeprefix("aws.greengrass#") for name in running.server.operations}
    answered = {
        name
        for name in operations.OPERATIONS
        if name in served and (name, "") not in operations.NEVER
    }
    states = of_operations()
    assert states.keys() == operations.OPERATIONS.keys()
    assert {name for name, state in states.items() if state != "not yet"} == answered


def test_only_known_operations_are_served(running: ipc_host.RunningServer) -> None:
    """Beside those of the contract there is the dry run, in a name space of its own."""
    served = set(running.server.operations)
    assert served - {f"aws.greengrass#{name}" for name in operations.OPERATIONS} == {
        "verge.nucleus#PlanLocalDeployment"
    }
    assert not {f"aws.greengrass#{name}" for name in operations.CLIENT_DEVICES} & served


def test_every_section_of_the_contract_is_listed() -> None:
    """Every section on recipes, lifecycle, deployments, IPC and the device's cloud has its rows."""
    if not CONTRACT.is_file():
        pytest.skip(f"{CONTRACT} is not here")
    sections = re.findall(rf"(?m)^### ([{NUCLEUS_SECTIONS}]\.\d+) ", CONTRACT.read_text())
    listed = {row[0] for row in rows() if row[0][0].isdigit()}
    assert listed == {*sections, *DEVICE_SECTIONS}
