"""Killed processes: the nucleus at any moment, and components under it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support import nucleus as nuclei
from tests.support import recipes

PRESS = "com.example.Press"
RUN = "echo $$ >> pids; trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"


def press(version: str = "1.0.0", run: str | None = RUN, **more: object) -> recipes.Component:
    return recipes.Component(PRESS, version, run=run, **more)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def pids(nucleus: nuclei.NucleusProcess) -> list[int]:
    file = nucleus.work(PRESS, "pids")
    return [int(line) for line in file.read_text().split()] if file.exists() else []


async def started(nucleus: nuclei.NucleusProcess, times: int) -> None:
    await nucleus.until(lambda: len(pids(nucleus)) == times, f"start {times}")


async def test_killed_nucleus_leaves_no_second_instance() -> None:
    """The next nucleus ends what the killed one left, before it starts it again."""
    async with nuclei.running_nucleus(press(run=RUN.replace("exit 0", ":"))) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        (first,) = pids(nucleus)
        await nucleus.kill()
        assert alive(first)
        await nucleus.start()
        await nucleus.until(lambda: len(pids(nucleus)) == 2, "the component starts again")
        assert not alive(first)
        assert [pid for pid in pids(nucleus) if alive(pid)] == pids(nucleus)[1:]


async def test_daemonised_child_of_a_killed_nucleus_is_ended() -> None:
    """A program that left its session and its parents is found by its token."""
    run = "setsid -f sh -c 'echo $$ > child; exec sleep 1000'; exec sleep 1000"
    async with nuclei.running_nucleus(press(run=run)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        child = int(nucleus.work(PRESS, "child").read_text())
        nucleus.work(PRESS, "child").unlink()
        await nucleus.kill()
        await nucleus.start()
        await nucleus.until(nucleus.work(PRESS, "child").exists, "the component starts again")
        assert not alive(child)


async def test_stopped_nucleus_leaves_no_process() -> None:
    """An orderly end ends every component, daemonised programs included."""
    run = "setsid -f sh -c 'echo $$ > child; exec sleep 1000'; " + RUN
    async with nuclei.running_nucleus(press(run=run)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        started = [*pids(nucleus), int(nucleus.work(PRESS, "child").read_text())]
        assert await nucleus.stop() == 0
        assert not any(alive(pid) for pid in started)


async def test_killed_component_is_started_again() -> None:
    """A component that is killed is an error, after which it runs again."""
    async with nuclei.running_nucleus(press()) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        (first,) = pids(nucleus)
        os.kill(first, signal.SIGKILL)
        await nucleus.until(lambda: len(pids(nucleus)) == 2, "the component starts again")
        await nucleus.in_state(PRESS, "RUNNING")


async def test_third_error_breaks_a_component() -> None:
    """Two recoveries are granted; the third error is the last one, and is explained."""
    async with nuclei.running_nucleus(press()) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        for count in (1, 2, 3):
            await started(nucleus, count)
            os.kill(pids(nucleus)[-1], signal.SIGKILL)
        await nucleus.in_state(PRESS, "BROKEN")
        assert (await nucleus.component(PRESS))["statusReason"] == "run was ended by SIGKILL"
        assert (await nucleus.cli("component", "restart", PRESS)).code == 0
        await nucleus.in_state(PRESS, "RUNNING")


@pytest.mark.parametrize(
    "event",
    ["Deployment queued", "Deployment begun", "Deployment activated", "old=STOPPING", "old=NEW"],
)
async def test_deployment_survives_a_killed_nucleus(event: str) -> None:
    """An acknowledged deployment is carried to its end, wherever the nucleus was killed."""
    data = os.urandom(2_000_000)
    async with nuclei.running_nucleus(press(artifacts={"data": b"one"})) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(press("1.1.0", artifacts={"data": data}))
        seen = nucleus.log().count(event)
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.1.0"})
        await nucleus.until(lambda: nucleus.log().count(event) > seen, event)
        await nucleus.kill()
        await nucleus.start()
        assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
        await nucleus.in_state(PRESS, "RUNNING", "1.1.0")
        assert (nucleus.paths.artifacts(PRESS, "1.1.0") / "data").read_bytes() == data
        assert len([pid for pid in pids(nucleus) if alive(pid)]) == 1


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4])
async def test_device_is_in_the_old_or_the_new_state(delay: float) -> None:
    """Killed at any time, the nucleus comes back with one whole version, and ends its work."""
    async with nuclei.running_nucleus(press()) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(press("1.1.0", run="exit 1"))
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.1.0"})
        await asyncio.sleep(delay)  # the moment of the kill is what varies here
        await nucleus.kill()
        await nucleus.start()
        ended = await nucleus.ended(deployment)
        assert ended["status"] == "FAILED"
        details = ended["deploymentStatusDetails"]
        assert details["detailedDeploymentStatus"] == "FAILED_ROLLBACK_COMPLETE"
        assert "run exited with code 1" in details["deploymentFailureCause"]
        await nucleus.in_state(PRESS, "RUNNING", "1.0.0")


async def test_rollback_survives_a_killed_nucleus() -> None:
    """A rollback that was cut short is completed, with the reason it was begun for."""
    slow_stop = press(lifecycle={"shutdown": "sleep 0.5"})
    async with nuclei.running_nucleus(slow_stop) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(press("1.1.0", run="exit 9"))
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.1.0"})
        await nucleus.until(lambda: "Rolling back" in nucleus.log(), "the rollback begins")
        await nucleus.kill()
        await nucleus.start()
        details = (await nucleus.ended(deployment))["deploymentStatusDetails"]
        assert details["detailedDeploymentStatus"] == "FAILED_ROLLBACK_COMPLETE"
        assert "run exited with code 9" in details["deploymentFailureCause"]
        await nucleus.in_state(PRESS, "RUNNING", "1.0.0")


async def test_nucleus_that_dies_of_a_deployment_gives_it_up() -> None:
    """A deployment is not prepared for ever if the nucleus dies of it each time."""
    component = press(lifecycle={"bootstrap": "touch begun; exec sleep 1000"})
    async with nuclei.running_nucleus(component) as nucleus:
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        for _ in range(3):
            await nucleus.until(nucleus.work(PRESS, "begun").exists, "the bootstrap step runs")
            await nucleus.kill()
            nucleus.work(PRESS, "begun").unlink()
            await nucleus.start()
        details = (await nucleus.ended(deployment))["deploymentStatusDetails"]
        assert details["deploymentErrorStack"] == ["DEPLOYMENT_FAILURE", "DEPLOYMENT_INTERRUPTED"]


async def test_queued_deployments_are_carried_out_in_order() -> None:
    """Deployments that are submitted together are all carried out, one after the other."""
    versions = [f"1.{minor}.0" for minor in range(5)]
    async with nuclei.running_nucleus(*[press(version) for version in versions]) as nucleus:
        submitted = await asyncio.gather(
            *[nucleus.submit(rootComponentVersionsToAdd={PRESS: v}) for v in versions]
        )
        await nucleus.kill()
        await nucleus.start()
        ended = [await nucleus.ended(deployment) for deployment in submitted]
        assert [each["status"] for each in ended] == ["SUCCEEDED"] * 5
        assert len(nucleus.log().split("Deployment begun")) - 1 >= 5


async def test_failed_deployment_does_not_block_the_next() -> None:
    """A deployment that cannot be prepared fails, and the next one is carried out."""
    async with nuclei.running_nucleus(press()) as nucleus:
        bad = await nucleus.submit(rootComponentVersionsToAdd={"com.example.Ghost": "1.0.0"})
        good = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        assert (await nucleus.ended(bad))["status"] == "FAILED"
        assert (await nucleus.ended(good))["status"] == "SUCCEEDED"


async def test_stuck_deployment_can_be_cancelled() -> None:
    """A deployment that waits for a component is given up on request and rolled back."""
    stuck = press("1.1.0", run=None, lifecycle={"startup": "touch begun; exec sleep 1000"})
    async with nuclei.running_nucleus(press()) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(stuck)
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.1.0"})
        await nucleus.until(nucleus.work(PRESS, "begun").exists, "the new version starts")
        assert (await nucleus.cli("deployment", "cancel", deployment)).code == 0
        assert (await nucleus.ended(deployment))["status"] == "CANCELED"
        await nucleus.in_state(PRESS, "RUNNING", "1.0.0")


async def test_cancellation_survives_a_killed_nucleus() -> None:
    """A deployment whose cancellation was answered is not carried out by the next nucleus."""
    step = "touch begun; while [ ! -e go ]; do sleep 0.05; done"
    async with nuclei.running_nucleus(press(lifecycle={"bootstrap": step})) as nucleus:
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        await nucleus.until(nucleus.work(PRESS, "begun").exists, "the step is at work")
        await nucleus.call("CancelLocalDeployment", {"deploymentId": deployment})
        await nucleus.kill()
        nucleus.work(PRESS, "go").touch()
        await nucleus.start()
        assert (await nucleus.ended(deployment))["status"] == "CANCELED"
        assert await nucleus.component(PRESS) == {}


async def test_report_that_cannot_be_written_fails_no_deployment() -> None:
    """What has become of a deployment does not depend on room for its report."""
    async with nuclei.running_nucleus(press()) as nucleus:
        nucleus.paths.deployments.rmdir()
        nucleus.paths.deployments.touch()  # stands for a disk that has no room for a directory
        deployed = await nucleus.deploy("--merge", PRESS)
        assert deployed["detailed_status"] == "SUCCESSFUL"
        assert "Report not written" in nucleus.log()


async def test_component_starts_although_the_disk_is_full() -> None:
    """A process that cannot be noted for the next nucleus runs, and is watched, all the same."""
    async with nuclei.running_nucleus(press()) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.paths.process_journal.unlink()
        nucleus.paths.process_journal.symlink_to("/dev/full")
        try:
            (first,) = pids(nucleus)
            os.kill(first, signal.SIGKILL)
            await started(nucleus, 2)
            await nucleus.in_state(PRESS, "RUNNING")
            assert "Process not noted" in nucleus.log()
        finally:
            nucleus.paths.process_journal.unlink()  # it could be read without an end


async def test_artifacts_that_cannot_be_put_in_place_fail_their_component() -> None:
    """A disk without room for a link fails the deployment and not the nucleus."""
    async with nuclei.running_nucleus(press()) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(press("1.1.0", artifacts={"data": b"x"}))
        hindrance = nucleus.paths.artifacts(PRESS, ".1.1.0.new")
        hindrance.mkdir(parents=True)  # where the link is made
        failed = await nucleus.deploy("--merge", f"{PRESS}=1.1.0")
        assert failed["detailed_status"] == "FAILED_ROLLBACK_COMPLETE"
        assert "cannot put its artifacts in place" in failed["failure_cause"]
        assert "(INSTALL_IO_ERROR)" in failed["failure_cause"]
        assert (await nucleus.component(PRESS))["version"] == "1.0.0"
        await nucleus.in_state(PRESS, "RUNNING")
