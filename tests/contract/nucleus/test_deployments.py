"""Groups, conflicts, retention and disk space on a real nucleus process (contract 3.3 to 3.10)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import nucleus as nuclei
from tests.support import recipes

PRESS = "com.example.Press"
LENS = "com.example.Lens"
FOREVER = "exec sleep 1000"


def component(name: str, version: str = "1.0.0", **more: Any) -> recipes.Component:
    return recipes.Component(name, version, **{"run": FOREVER, **more})


async def names(nucleus: nuclei.NucleusProcess) -> set[str]:
    answer = await nucleus.call("ListComponents", {})
    return {c["componentName"] for c in answer["components"]} - {"aws.greengrass.Nucleus"}


def report(nucleus: nuclei.NucleusProcess, deployment: str) -> dict[str, Any]:
    file = nucleus.paths.deployments / deployment / "deployment_metadata.json"
    found: dict[str, Any] = json.loads(file.read_text())
    return found


async def test_component_leaves_with_its_last_group() -> None:
    """A component goes when no group lists it and nothing depends on it (contract 3.3)."""
    async with nuclei.running_nucleus(component(PRESS), component(LENS)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        await nucleus.deploy("--merge", PRESS, "--merge", LENS, "--group", "line1")
        assert await names(nucleus) == {PRESS, LENS}
        await nucleus.deploy("--remove", PRESS)
        assert await names(nucleus) == {PRESS, LENS}, "thinggroup/line1 still asks for it"
        await nucleus.deploy("--remove", PRESS, "--group", "line1")
        assert await names(nucleus) == {LENS}


async def test_dependency_leaves_with_its_dependent() -> None:
    """What was brought in as a dependency alone goes with the last that needs it."""
    press = component(PRESS, dependencies={LENS: "*"})
    async with nuclei.running_nucleus(press, component(LENS)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        assert await names(nucleus) == {PRESS, LENS}
        await nucleus.deploy("--remove", PRESS)
        assert await names(nucleus) == set()


async def test_conflict_names_both_groups() -> None:
    """Two groups that pin different versions conflict, and both are named (contract 3.3)."""
    releases = component(LENS), component(LENS, "2.0.0")
    async with nuclei.running_nucleus(*releases) as nucleus:
        await nucleus.deploy("--merge", f"{LENS}=1.0.0", "--group", "line1")
        failed = await nucleus.deploy("--merge", f"{LENS}=2.0.0")
        assert failed["status"] == "FAILED"
        cause = failed["failure_cause"]
        assert "group thinggroup/line1 asks for 1.0.0" in cause
        assert "group LOCAL_DEPLOYMENT asks for 2.0.0" in cause
        deployment = await nucleus.submit(rootComponentVersionsToAdd={LENS: "2.0.0"})
        details = (await nucleus.ended(deployment))["deploymentStatusDetails"]
        assert details["detailedDeploymentStatus"] == "FAILED_NO_STATE_CHANGE"
        assert details["deploymentErrorStack"] == [
            "DEPLOYMENT_FAILURE",
            "NO_AVAILABLE_COMPONENT_VERSION",
        ]
        assert details["deploymentErrorTypes"] == ["DEPENDENCY_ERROR"]
        await nucleus.in_state(LENS, "RUNNING", "1.0.0")


async def test_failed_deployment_keeps_the_roots_of_its_group() -> None:
    """The stored roots of a group change only after the deployment succeeded (contract 3.3)."""
    async with nuclei.running_nucleus(component(PRESS), component(LENS, run="exit 1")) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        for policy in ("ROLLBACK", "DO_NOTHING"):
            failed = await nucleus.deploy("--merge", LENS, "--failure-handling-policy", policy)
            assert failed["status"] == "FAILED"
        assert (await nucleus.component(LENS))["isRoot"] is False
        assert (await nucleus.component(PRESS))["isRoot"] is True


@pytest.mark.parametrize("keep", [1, 2, 3])
async def test_versions_that_are_kept(keep: int) -> None:
    """The version in use and the ones before it stay, as many as `keepVersions` says."""
    settings = {"verge": {"settleSeconds": 0.05, "keepVersions": keep}}
    releases = [component(PRESS, f"1.{n}.0", artifacts={"data": b"%d" % n}) for n in range(4)]
    async with nuclei.running_nucleus(*releases, configuration=settings) as nucleus:
        for each in releases:
            await nucleus.deploy("--merge", f"{PRESS}={each.version}")
        stored = sorted(p.name for p in (nucleus.paths.packages / "artifacts" / PRESS).iterdir())
        assert stored == [each.version for each in releases[-keep:]]
        assert len(list((nucleus.paths.contents / PRESS).iterdir())) == keep
        assert len(list(nucleus.paths.recipes.iterdir())) == keep


async def test_no_artifact_is_copied_twice() -> None:
    """Content that is in the store is not copied again, under whatever version."""
    data = b"x" * 100_000
    first, second = (component(PRESS, v, artifacts={"data": data}) for v in ("1.0.0", "1.1.0"))
    async with nuclei.running_nucleus(first, second) as nucleus:
        counts = []
        for version in ("1.0.0", "1.1.0", "1.0.0"):
            deployed = await nucleus.deploy("--merge", f"{PRESS}={version}")
            counts.append(report(nucleus, deployed["deployment_id"])["bytes_copied"])
        assert counts == [100_000, 0, 0]


async def test_rollback_copies_nothing() -> None:
    """A failed version costs its own bytes once; the way back costs none."""
    async with nuclei.running_nucleus(
        component(PRESS, artifacts={"data": b"a" * 50_000})
    ) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        old = nucleus.paths.artifacts(PRESS, "1.0.0").resolve()
        inode = (old / "data").stat().st_ino
        nucleus.release.add(component(PRESS, "1.1.0", run="exit 1", artifacts={"data": b"b" * 70}))
        failed = await nucleus.deploy("--merge", PRESS)
        assert failed["detailed_status"] == "FAILED_ROLLBACK_COMPLETE"
        assert report(nucleus, failed["deployment_id"])["bytes_copied"] == 70
        assert (nucleus.paths.artifacts(PRESS, "1.0.0") / "data").stat().st_ino == inode


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        pytest.param(
            {"componentStoreMaxSizeBytes": 10_000},
            "more than componentStoreMaxSizeBytes",
            id="store",
        ),
        pytest.param(
            {"verge": {"minimumFreeDiskBytes": 10**15, "settleSeconds": 0.1}},
            "make room and deploy again",
            id="disk",
        ),
    ],
)
async def test_lack_of_space_is_seen_before_anything_is_copied(
    settings: dict[str, Any], sentence: str
) -> None:
    """A release that does not fit changes nothing, and the next one that fits is deployed."""
    big = component(PRESS, artifacts={"data": b"x" * 20_000})
    async with nuclei.running_nucleus(big, component(LENS), configuration=settings) as nucleus:
        failed = await nucleus.deploy("--merge", PRESS)
        assert failed["detailed_status"] == "FAILED_NO_STATE_CHANGE"
        assert sentence in failed["failure_cause"]
        assert report(nucleus, failed["deployment_id"])["bytes_copied"] == 0
        assert not list(nucleus.paths.contents.iterdir())
        assert (await nucleus.deploy("--merge", LENS))["status"] == "SUCCEEDED"


async def test_rollback_keeps_what_other_components_wrote_meanwhile() -> None:
    """A failed deployment takes back its own values, and none that others wrote (contract 3.8)."""
    waiting = {"startup": "touch begun; while [ ! -e go ]; do sleep 0.05; done; exit 1"}
    press = component(PRESS, run="echo $SVCUID > token; " + FOREVER, configuration={"count": 0})
    failing = component(LENS, run=None, lifecycle=waiting)
    async with nuclei.running_nucleus(press, failing) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        deployment = await nucleus.submit(rootComponentVersionsToAdd={LENS: "1.0.0"})
        await nucleus.until(nucleus.work(LENS, "begun").exists, "the deployment is activated")
        await nucleus.configure_itself(PRESS, count=7)
        nucleus.work(LENS, "go").touch()
        details = (await nucleus.ended(deployment))["deploymentStatusDetails"]
        assert details["detailedDeploymentStatus"] == "FAILED_ROLLBACK_COMPLETE"
        assert (await nucleus.component(PRESS))["configuration"] == {"count": 7}


async def test_rollback_takes_back_what_the_deployment_configured() -> None:
    """A value that a failed deployment merged is the former one again (contract 3.8)."""
    press = component(PRESS, configuration={"rate": 1})
    async with nuclei.running_nucleus(press, component(LENS, run="exit 1")) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        deployment = await nucleus.submit(
            rootComponentVersionsToAdd={LENS: "1.0.0"},
            componentToConfiguration={PRESS: {"MERGE": {"rate": 2}}},
        )
        details = (await nucleus.ended(deployment))["deploymentStatusDetails"]
        assert details["detailedDeploymentStatus"] == "FAILED_ROLLBACK_COMPLETE"
        assert (await nucleus.component(PRESS))["configuration"] == {"rate": 1}


async def test_cancelled_in_the_queue() -> None:
    """A deployment that waits behind another is cancelled without having done anything."""
    slow = component(PRESS, run=None, lifecycle={"startup": "touch begun; exec sleep 1000"})
    async with nuclei.running_nucleus(slow, component(LENS)) as nucleus:
        stuck = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        await nucleus.until(nucleus.work(PRESS, "begun").exists, "the first one is at work")
        queued = await nucleus.submit(rootComponentVersionsToAdd={LENS: "1.0.0"})
        assert (await nucleus.status(queued))["status"] == "QUEUED"
        assert (await nucleus.status(stuck))["status"] == "IN_PROGRESS"
        answer = await nucleus.call("CancelLocalDeployment", {"deploymentId": queued})
        assert answer["message"] == f"Cancel request submitted. Deployment ID: {queued}"
        assert (await nucleus.status(queued))["status"] == "CANCELED"
        await nucleus.call("CancelLocalDeployment", {"deploymentId": stuck})
        assert (await nucleus.ended(stuck))["status"] == "CANCELED"
        assert await names(nucleus) == set()


async def test_deployment_that_never_gets_healthy_does_not_block_the_next() -> None:
    """After its limit a deployment is given up, and the next one is carried out."""
    settings = {"verge": {"settleSeconds": 0.1, "healthLimitSeconds": 0.5}}
    slow = component(PRESS, run=None, lifecycle={"startup": FOREVER})
    async with nuclei.running_nucleus(slow, component(LENS), configuration=settings) as nucleus:
        stuck = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        after = await nucleus.submit(rootComponentVersionsToAdd={LENS: "1.0.0"})
        details = (await nucleus.ended(stuck))["deploymentStatusDetails"]
        assert "is still STARTING after 0.5 s" in details["deploymentFailureCause"]
        assert (await nucleus.ended(after))["status"] == "SUCCEEDED"
