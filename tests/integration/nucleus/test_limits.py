"""Memory and processor limits of components on a host with control groups."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support import nucleus as nuclei
from tests.support import recipes
from verge.nucleus.lifecycle import limits

PRESS = "com.example.Press"
FOREVER = "echo $$ > pid; exec sleep 1000"


def usable() -> bool:
    groups = limits.Groups(Path("/tests"))
    try:
        groups.limit("probe", limits.Limits(10_000, 1))
    except limits.GroupsError:
        return False
    groups.remove("probe")
    return True


pytestmark = pytest.mark.skipif(not usable(), reason="the host allows no control groups")


def group(nucleus: nuclei.NucleusProcess) -> Path:
    """Return the group with the memory limit of the component's process."""
    pid = int(nucleus.work(PRESS, "pid").read_text())
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in {"memory", ""} and "greengrass-" in path:
            return limits.MOUNT / controllers / path.lstrip("/")
    raise AssertionError("the process is in no group of the nucleus")


def memory_limit(nucleus: nuclei.NucleusProcess) -> str:
    for name in ("memory.max", "memory.limit_in_bytes"):
        if (file := group(nucleus) / name).exists():
            return file.read_text().strip()
    raise AssertionError("the group has no memory limit")


def run_with(memory: int, **more: object) -> dict[str, object]:
    return {PRESS: {"systemResourceLimits": {"memory": memory, "cpus": 0.5}, **more}}


async def test_limits_change_without_a_restart() -> None:
    """New limits reach the processes that run; no step runs again (contract 2.8)."""
    component = recipes.Component(PRESS, run="echo started >> starts; " + FOREVER)
    async with nuclei.running_nucleus(component) as nucleus:
        for memory in (102_400, 204_800):
            deployment = await nucleus.submit(
                rootComponentVersionsToAdd={PRESS: "1.0.0"},
                componentToRunWithInfo=run_with(memory),
            )
            assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
            assert memory_limit(nucleus) == str(memory * 1024)
        assert nucleus.work(PRESS, "starts").read_text() == "started\n"
        kept = group(nucleus)
        await nucleus.stop()
        assert not kept.exists()


async def test_component_over_its_memory_limit_is_told_so() -> None:
    """A program that takes more memory than it may is ended, and the reason names the limit."""
    # A startup step is waited for, however long a busy machine takes to begin with it.
    greedy = {"startup": "exec python3 -c 'x = bytearray(300_000_000); print(len(x))'"}
    async with nuclei.running_nucleus(recipes.Component(PRESS, lifecycle=greedy)) as nucleus:
        deployment = await nucleus.submit(
            rootComponentVersionsToAdd={PRESS: "1.0.0"}, componentToRunWithInfo=run_with(30_000)
        )
        details = (await nucleus.ended(deployment))["deploymentStatusDetails"]
        assert (
            "it needed more than its memory limit of 30000 kB"
            in (details["deploymentFailureCause"])
        )


async def test_default_limits_apply_to_components_without_their_own() -> None:
    """`runWithDefault.systemResourceLimits` limits who has no limits (contract 2.9)."""
    user = {"posixUser": str(os.geteuid()), "systemResourceLimits": {"memory": 51_200}}
    async with nuclei.running_nucleus(
        recipes.Component(PRESS, run=FOREVER), configuration={"runWithDefault": user}
    ) as nucleus:
        assert json.loads(nucleus.paths.config_file.read_text())
        await nucleus.deploy("--merge", PRESS)
        assert memory_limit(nucleus) == str(51_200 * 1024)


async def test_bootstrap_and_uninstall_are_limited_too() -> None:
    """Steps outside a component's life have its limits (contract 2.9), and leave no group."""
    tell = (
        "for f in /sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)"
        "/memory.limit_in_bytes /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/memory.max; "
        "do [ -e $f ] && cat $f > {work:path}/"
    )
    steps = {step: f"{tell}{step}; done; true" for step in ("bootstrap", "uninstall")}
    component = recipes.Component(PRESS, run=FOREVER, lifecycle=steps)
    async with nuclei.running_nucleus(component) as nucleus:
        deployment = await nucleus.submit(
            rootComponentVersionsToAdd={PRESS: "1.0.0"}, componentToRunWithInfo=run_with(102_400)
        )
        assert await nucleus.wait() == 100
        await nucleus.start()
        assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
        top = group(nucleus).parent
        await nucleus.deploy("--remove", PRESS)
        for step in steps:
            assert nucleus.work(PRESS, step).read_text().strip() == str(102_400 * 1024)
        assert not top.exists()
