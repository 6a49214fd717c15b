"""What a change does to a component that runs, contract 2.8, and order, contract 2.6."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.support import nucleus as nuclei
from tests.support import recipes

PRESS = "com.example.Press"
LENS = "com.example.Lens"
NOTE = "echo {} >> $NOTES; "
STEPS = {
    "setenv": {"NOTES": "notes"},
    "install": NOTE.format("install"),
    "run": NOTE.format("run") + "exec sleep 1000",
    "shutdown": NOTE.format("shutdown"),
}


def component(version: str = "1.0.0", **more: Any) -> recipes.Component:
    steps = {**STEPS, **more.pop("steps", {})}
    return recipes.Component(PRESS, version, lifecycle=steps, **more)


def notes(nucleus: nuclei.NucleusProcess, name: str = PRESS) -> list[str]:
    return nucleus.work(name, "notes").read_text().split()


RESTART = ["shutdown", "run"]
REINSTALL = ["shutdown", "install", "run"]
FIRST = ["install", "run"]

IMPATIENT = {"verge": {"settleSeconds": 0.1, "healthLimitSeconds": 5}}


@pytest.mark.parametrize(
    ("changed", "happens"),
    [
        pytest.param(component(configuration={"rate": 2}), [], id="configuration"),
        pytest.param(component(steps={"shutdown": NOTE.format("new-shutdown")}), [], id="shutdown"),
        pytest.param(
            component(steps={"run": NOTE.format("run") + "exec sleep 999"}), RESTART, id="run"
        ),
        pytest.param(component(steps={"recover": "true"}), RESTART, id="recover"),
        pytest.param(
            component(steps={"setenv": {"NOTES": "notes", "MORE": "1"}}), RESTART, id="setenv"
        ),
        pytest.param(
            component(steps={"install": NOTE.format("install") + "true"}), REINSTALL, id="install"
        ),
        pytest.param(component("1.1.0"), REINSTALL, id="version"),
        pytest.param(component(artifacts={"data": b"x"}), REINSTALL, id="artifacts"),
        pytest.param(component(dependencies={LENS: "*"}), RESTART, id="dependency-gained"),
    ],
)
async def test_change(changed: recipes.Component, happens: list[str]) -> None:
    """A component does exactly what its row of the table asks for (contract 2.8)."""
    lens = recipes.Component(LENS)
    async with nuclei.running_nucleus(component(), lens) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        assert notes(nucleus) == FIRST
        nucleus.release.add(changed)
        deployed = await nucleus.deploy("--merge", PRESS)
        assert deployed["status"] == "SUCCEEDED"
        assert notes(nucleus) == FIRST + happens


async def test_changed_user_reinstalls() -> None:
    """Another user of `runWith` installs anew (contract 2.8)."""
    if os.geteuid() != 0:
        pytest.skip("only root runs components as others")
    async with nuclei.running_nucleus(component()) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        deployment = await nucleus.submit(
            componentToRunWithInfo={PRESS: {"posixUser": "nobody"}},
        )
        assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
        assert notes(nucleus) == FIRST + REINSTALL


async def test_upgrade_runs_the_shutdown_of_the_former_version() -> None:
    """The shutdown script is the one of the version that was started (contract 2.8)."""
    async with nuclei.running_nucleus(component()) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(component("1.1.0", steps={"shutdown": NOTE.format("new-shutdown")}))
        await nucleus.deploy("--merge", PRESS)
        assert notes(nucleus) == FIRST + REINSTALL
        await nucleus.stop()
        assert notes(nucleus)[-1] == "new-shutdown"


async def test_interpolated_configuration_restarts() -> None:
    """A merged value that a script mentions is a changed script (contract 2.8)."""
    press = component(
        steps={"run": NOTE.format("{configuration:/rate}") + "exec sleep 1000"},
        configuration={"rate": 1},
    )
    async with nuclei.running_nucleus(press) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        merge = json.dumps({PRESS: {"MERGE": {"rate": 2}}})
        await nucleus.deploy("--merge", PRESS, "--update-config", merge)
        assert notes(nucleus) == ["install", "1", "shutdown", "2"]


async def test_finished_component_is_left_alone_by_its_dependency() -> None:
    """A FINISHED component is not started again by a dependency that restarts (contract 2.2)."""
    once = component(steps={"run": NOTE.format("run")}, dependencies={LENS: "*"})
    lens = recipes.Component(LENS, run="exec sleep 1000")
    async with nuclei.running_nucleus(once, lens) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        await nucleus.in_state(PRESS, "FINISHED")
        await nucleus.cli("component", "restart", LENS)
        await nucleus.in_state(LENS, "RUNNING")
        assert notes(nucleus).count("run") == 1
        await nucleus.cli("component", "restart", PRESS)
        await nucleus.until(lambda: notes(nucleus).count("run") == 2, "a restart runs it again")


async def test_changed_recipe_of_a_finished_dependent_holds_up_no_deployment() -> None:
    """What does not run takes a new recipe without being waited for (contract 2.8, 3.8)."""
    once = component(steps={"run": NOTE.format("run")}, dependencies={LENS: "*"})
    changed = component(
        steps={"run": NOTE.format("run"), "shutdown": "true"}, dependencies={LENS: "*"}
    )
    lens = recipes.Component(LENS, run="exec sleep 1000")
    async with nuclei.running_nucleus(once, lens, configuration=IMPATIENT) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(changed, recipes.Component(LENS, run="exec sleep 999"))
        assert (await nucleus.deploy("--merge", PRESS))["status"] == "SUCCEEDED"
        assert notes(nucleus) == ["install", "run", "shutdown"]


async def test_dependent_restarts_with_a_dependency_that_has_no_steps() -> None:
    """A dependency that is ready again at once has been lost all the same (contract 2.6)."""
    lens = recipes.Component(LENS, artifacts={"data": b"1"})
    press = component(dependencies={LENS: "*"})
    async with nuclei.running_nucleus(press, lens, configuration=IMPATIENT) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(
            recipes.Component(LENS, artifacts={"data": b"2"}),
            component(dependencies={LENS: "*"}, configuration={"rate": 2}),
        )
        assert (await nucleus.deploy("--merge", PRESS))["status"] == "SUCCEEDED"
        assert notes(nucleus) == FIRST + RESTART
        assert await nucleus.stop() == 0
        await nucleus.start()
        await nucleus.in_state(PRESS, "RUNNING")
        assert notes(nucleus) == [*FIRST, *RESTART, "shutdown", *FIRST], "it starts once"


async def test_component_starts_once_its_recipe_drops_what_it_waited_for() -> None:
    """A dependency that is not declared any more is not waited for (contract 2.6)."""
    lens = recipes.Component(LENS, lifecycle={"install": "exit 1"})
    async with nuclei.running_nucleus(component(dependencies={LENS: "*"}), lens) as nucleus:
        arguments = ("--merge", PRESS, "--failure-handling-policy", "DO_NOTHING")
        assert (await nucleus.deploy(*arguments))["status"] == "FAILED"
        await nucleus.in_state(PRESS, "INSTALLED")
        nucleus.release.add(component())
        assert (await nucleus.deploy("--merge", PRESS))["status"] == "SUCCEEDED"
        await nucleus.in_state(PRESS, "RUNNING")
        assert notes(nucleus) == FIRST


async def test_broken_component_is_reinstalled_whatever_changed() -> None:
    """A deployment tries a BROKEN component again, even if its steps stay (contract 2.2, 3.8)."""
    steps = {"run": "test -e mended && exec sleep 1000"}
    async with nuclei.running_nucleus(component(steps=steps)) as nucleus:
        arguments = ("--merge", PRESS, "--failure-handling-policy", "DO_NOTHING")
        assert (await nucleus.deploy(*arguments))["status"] == "FAILED"
        await nucleus.in_state(PRESS, "BROKEN")
        nucleus.work(PRESS, "mended").touch()
        nucleus.release.add(component(steps=steps, configuration={"rate": 2}))
        assert (await nucleus.deploy("--merge", PRESS))["status"] == "SUCCEEDED"
        assert (await nucleus.component(PRESS))["state"] == "RUNNING"


@pytest.mark.parametrize("step", ["shutdown", "uninstall"])
async def test_component_that_leaves_is_not_restarted(step: str) -> None:
    """A restart of what is being removed fails and does not hold the removal up (contract 2.6)."""
    slow = {step: "touch ../begun; while [ ! -e go ]; do sleep 0.05; done"}
    async with nuclei.running_nucleus(component(steps=slow)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        removal = await nucleus.submit(rootComponentsToRemove=[PRESS])
        await nucleus.until((nucleus.root / "work" / "begun").exists, "it leaves")
        answer = await nucleus.call("RestartComponent", {"componentName": PRESS})
        assert answer["restartStatus"] == "FAILED"
        assert answer["message"] == f"cannot restart {PRESS}: it is being removed"
        nucleus.work(PRESS, "go").touch()
        assert (await nucleus.ended(removal))["status"] == "SUCCEEDED"
        assert await nucleus.component(PRESS) == {}


async def test_broken_component_can_be_removed() -> None:
    """A component that is BROKEN leaves with its removal, or comes back whole (contract 2.2)."""
    press = component(steps={"run": NOTE.format("run") + "exit 1", "uninstall": "touch ../gone"})
    async with nuclei.running_nucleus(press) as nucleus:
        deployment = await nucleus.submit(
            rootComponentVersionsToAdd={PRESS: "1.0.0"}, failureHandlingPolicy="DO_NOTHING"
        )
        assert (await nucleus.ended(deployment))["status"] == "FAILED"
        await nucleus.in_state(PRESS, "BROKEN")
        assert (await nucleus.deploy("--remove", PRESS))["status"] == "SUCCEEDED"
        assert await nucleus.component(PRESS) == {}
        assert (nucleus.paths.root / "work" / "gone").exists()


async def test_install_does_not_wait_for_dependencies() -> None:
    """Components are installed side by side and only their start is ordered (contract 2.6)."""
    lens = recipes.Component(LENS, lifecycle={"startup": "while [ ! -e go ]; do sleep 0.05; done"})
    async with nuclei.running_nucleus(component(dependencies={LENS: "*"}), lens) as nucleus:
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        await nucleus.in_state(PRESS, "INSTALLED")
        await nucleus.in_state(LENS, "STARTING")
        assert notes(nucleus) == ["install"]
        nucleus.work(LENS, "go").touch()
        assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
        assert notes(nucleus) == FIRST


async def test_built_in_component_is_not_restarted() -> None:
    """A restart that cannot be done is answered with the reason (contract 2.6)."""
    async with nuclei.running_nucleus() as nucleus:
        answer = await nucleus.call("RestartComponent", {"componentName": "aws.greengrass.Cli"})
        assert answer["restartStatus"] == "FAILED"
        assert "it is part of the nucleus" in answer["message"]
