"""Every row of the transition table, Greengrass contract 2.2, on a real nucleus process.

One nucleus gets a component for every row; what it logged of their states is the evidence.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support import nucleus as nuclei
from tests.support import recipes

FOREVER = "exec sleep 1000"
NUCLEUS = "aws.greengrass.Nucleus"


def reporting(state: str) -> str:
    """Return a shell command that calls UpdateState as any component may."""
    return (
        f"{sys.executable} -c 'import os; from verge.nucleus.ipc.client import IpcClient\n"
        'with IpcClient(os.environ["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH"], '
        f'os.environ["SVCUID"]) as c: c.call("UpdateState", {{"state": "{state}"}})\''
    )


@dataclass(frozen=True)
class Row:
    """A row: the steps of a component, and the states (with codes) it must pass in this order."""

    steps: Mapping[str, Any]
    passes: str
    dependencies: Mapping[str, str] = field(default_factory=dict)
    asked: str = ""
    """What is asked of it once it runs: stop, restart or reinstall."""


ROWS = {
    "install-absent": Row({"run": FOREVER}, "NEW INSTALLED"),
    "install-exit-0": Row({"install": "true", "run": FOREVER}, "NEW INSTALLED STARTING"),
    "install-skipped": Row(
        {"install": {"Script": "exit 1", "Skipif": "onpath sh"}, "run": FOREVER}, "NEW INSTALLED"
    ),
    "install-non-zero": Row({"install": "exit 1"}, "NEW ERRORED:INSTALL_ERROR NEW"),
    "install-timeout": Row(
        {"install": {"Script": FOREVER, "Timeout": 0.1}}, "NEW ERRORED:INSTALL_TIMEOUT NEW"
    ),
    "install-bad-config": Row(
        {"install": {"Timeout": 5}}, "NEW ERRORED:INSTALL_CONFIG_NOT_VALID NEW"
    ),
    "start-with-ready-dependency": Row(
        {"run": FOREVER}, "INSTALLED STARTING RUNNING", {"row.startup-exit-0": "*"}
    ),
    "startup-exit-0": Row({"startup": "sleep 0.2"}, "INSTALLED STARTING RUNNING"),
    "startup-reports-running": Row(
        {"startup": reporting("RUNNING") + "; " + FOREVER}, "STARTING RUNNING"
    ),
    "run-launched": Row({"run": "sleep 0.3; exit 0"}, "STARTING RUNNING STOPPING FINISHED"),
    "no-startup-no-run": Row({"install": "true"}, "STARTING STOPPING FINISHED"),
    "startup-non-zero": Row({"startup": "exit 1"}, "STARTING ERRORED:STARTUP_ERROR"),
    "startup-bad-config": Row(
        {"startup": {"Timeout": 5}}, "STARTING ERRORED:STARTUP_CONFIG_NOT_VALID"
    ),
    "startup-timeout": Row(
        {"startup": {"Script": FOREVER, "Timeout": 0.1}}, "STARTING ERRORED:STARTUP_TIMEOUT"
    ),
    "run-exit-0": Row({"run": "true", "shutdown": "touch shut"}, "RUNNING STOPPING FINISHED"),
    "run-non-zero": Row({"run": "exit 7"}, "RUNNING ERRORED:RUN_ERROR"),
    "run-bad-config": Row(
        {"run": {"Script": "true", "Skipif": "sometimes"}},
        "STARTING ERRORED:RUN_CONFIG_NOT_VALID STOPPING",
    ),
    "run-timeout": Row({"run": {"Script": FOREVER, "Timeout": 0.2}}, "RUNNING ERRORED:RUN_TIMEOUT"),
    "late-startup-non-zero": Row(
        {"startup": reporting("RUNNING") + "; exit 3"}, "STARTING RUNNING ERRORED"
    ),
    "stop-wanted": Row({"run": FOREVER}, "RUNNING STOPPING FINISHED", asked="stop"),
    "restart-wanted": Row(
        {"run": FOREVER}, "RUNNING STOPPING INSTALLED STARTING RUNNING", asked="restart"
    ),
    "reinstall-wanted": Row(
        {"run": FOREVER, "install": "true"},
        "RUNNING STOPPING NEW INSTALLED STARTING RUNNING",
        asked="reinstall",
    ),
    "shutdown-fails": Row(
        {"run": FOREVER, "shutdown": "exit 4"},
        "STOPPING ERRORED:SHUTDOWN_ERROR FINISHED",
        asked="stop",
    ),
    "shutdown-timeout": Row(
        {"run": FOREVER, "shutdown": {"Script": FOREVER, "Timeout": 0.1}},
        "STOPPING ERRORED:SHUTDOWN_TIMEOUT FINISHED",
        asked="stop",
    ),
    "recovery-from-running": Row(
        {"run": "exit 7", "recover": "true"},
        "RUNNING ERRORED:RUN_ERROR STOPPING INSTALLED STARTING",
    ),
    "recovery-from-starting": Row(
        {"startup": "exit 7"}, "STARTING ERRORED:STARTUP_ERROR STOPPING INSTALLED STARTING"
    ),
    "reported-errored": Row(
        {"run": reporting("ERRORED") + "; " + FOREVER}, "RUNNING ERRORED:RUN_ERROR STOPPING"
    ),
    "shutdown-bad-config": Row(
        {"run": FOREVER, "shutdown": {}},
        "RUNNING STOPPING ERRORED:SHUTDOWN_ERROR FINISHED",
        asked="stop",
    ),
    "recover-bad-config": Row(
        {"run": "exit 1", "recover": {}}, "RUNNING ERRORED:RUN_ERROR STOPPING INSTALLED"
    ),
    "setenv-bad-config": Row(
        {"setenv": [], "run": FOREVER}, "NEW ERRORED:INSTALL_CONFIG_NOT_VALID NEW"
    ),
    "third-error-in-new": Row({"install": "exit 1"}, "NEW BROKEN:INSTALL_ERROR"),
    "third-error-in-starting": Row({"startup": "exit 1"}, "STARTING BROKEN:STARTUP_ERROR"),
    "third-error-in-running": Row({"run": "exit 1"}, "RUNNING BROKEN:RUN_ERROR"),
    "broken-reinstalled": Row({"run": "exit 1"}, "BROKEN:RUN_ERROR NEW", asked="reinstall"),
}


def component(name: str, row: Row, *, again: bool = False) -> recipes.Component:
    steps = {**row.steps, "install": "true || again"} if again else row.steps
    return recipes.Component(f"row.{name}", lifecycle=steps, dependencies=row.dependencies)


async def play() -> list[dict[str, Any]]:
    """Deploy all rows, ask what is asked, and return the nucleus's log."""
    settings = {"logging": {"format": "JSON"}}
    components = [component(name, row) for name, row in ROWS.items()]
    async with nuclei.running_nucleus(*components, configuration=settings) as nucleus:

        async def deploy() -> None:
            roots = {f"row.{name}": "1.0.0" for name in ROWS}
            await nucleus.ended(
                await nucleus.submit(
                    rootComponentVersionsToAdd=roots, failureHandlingPolicy="DO_NOTHING"
                )
            )
            await nucleus.until(settled, "all rows are settled")

        async def settled() -> bool:
            answer = await nucleus.call("ListComponents", {})
            return all(
                c["state"] in {"RUNNING", "FINISHED", "BROKEN"} for c in answer["components"]
            )

        await deploy()
        for name, row in ROWS.items():
            operation = {"stop": "StopComponent", "restart": "RestartComponent"}.get(row.asked)
            if operation:
                await nucleus.call(operation, {"componentName": f"row.{name}"})
        nucleus.release.add(
            *(component(n, r, again=True) for n, r in ROWS.items() if r.asked == "reinstall")
        )
        await deploy()
        return [json.loads(line) for line in nucleus.log().splitlines()]


@pytest.fixture(scope="module")
def log() -> list[dict[str, Any]]:
    """Return the log of a nucleus on which every row was played."""
    return asyncio.run(play())


def passed(log: list[dict[str, Any]], name: str) -> list[str]:
    """Return the states that a component went through, errors with their code."""
    states: list[str] = []
    for event in log:
        fields = event["contexts"]
        if event["message"] == "State changed" and fields["component"] == f"row.{name}":
            code = f":{fields['code']}" if "code" in fields else ""
            states += ([] if states else [fields["old"]]) + [fields["new"] + code]
    return states


@pytest.mark.parametrize("name", ROWS)
def test_row(log: list[dict[str, Any]], name: str) -> None:
    """The component takes the way of its row (contract 2.2), and no way that is in no row."""
    states = passed(log, name)
    wanted = ROWS[name].passes.split()
    windows = [states[at : at + len(wanted)] for at in range(len(states))]
    plain = [[state.partition(":")[0] for state in window] for window in windows]
    assert wanted in windows or wanted in plain, states


def test_third_error_breaks_at_once(log: list[dict[str, Any]]) -> None:
    """Two recoveries are granted without a pause, the third error breaks (contract 2.4, trap 6)."""
    states = passed(log, "third-error-in-running")
    assert states.count("ERRORED:RUN_ERROR") >= 2
    first = states.index("BROKEN:RUN_ERROR")
    assert states[:first].count("ERRORED:RUN_ERROR") == 2


def test_dependent_starts_after_its_dependency(log: list[dict[str, Any]]) -> None:
    """A component leaves INSTALLED once its HARD dependency is RUNNING (contract 2.6)."""
    moves = [
        (event["contexts"]["component"], event["contexts"]["new"])
        for event in log
        if event["message"] == "State changed"
    ]
    ready = moves.index(("row.startup-exit-0", "RUNNING"))
    assert ready < moves.index(("row.start-with-ready-dependency", "STARTING"))


def test_every_change_of_state_is_logged(log: list[dict[str, Any]]) -> None:
    """Each change begins where the one before it ended, so none is missing from the log."""
    for name in ROWS:
        changes = [
            (event["contexts"]["old"], event["contexts"]["new"])
            for event in log
            if event["message"] == "State changed"
            and event["contexts"]["component"] == f"row.{name}"
        ]
        assert all(a[1] == b[0] for a, b in itertools.pairwise(changes)), changes
