"""A real nucleus takes deployments from the real local cloud."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import cloud_site, devices, recipes
from tests.support import nucleus as nuclei

PRESS = "com.example.Press"
LAMP = "com.example.Lamp"
IDLE = "exec sleep 1000"
MEGABYTE = 1_000_000

pytestmark = devices.needs_mosquitto

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud_site.Site]:
    """Return a cloud that all tests of this module share; each has things and groups of its own."""
    with cloud_site.running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def thing() -> str:
    """Return the name of a thing that no other test uses."""
    return f"press-{next(_numbers):02}"


def component(name: str, thing: str) -> str:
    """Return a component name of this test's own."""
    return f"{name}.{thing}"


def press(thing: str, version: str = "1.0.0", **members: Any) -> recipes.Component:
    """Return a version of this test's component, with an artifact."""
    given = {"run": IDLE, "artifacts": {"data": f"{thing} {version}".encode()}, **members}
    return recipes.Component(component(PRESS, thing), version, **given)


async def test_group_deployment(site: cloud_site.Site, thing: str) -> None:
    """A group deployment fetches, runs and reports; there success reads SUCCEEDED (7, trap 10)."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing, configuration={"rate": "5"})
        site.publish(one)
        site.group(f"line-{thing}", thing)
        update = {"merge": '{"rate": "7", "zone": ["a"]}'}
        wanted = {one.name: {"componentVersion": "1.0.0", "configurationUpdate": update}}
        deployment = site.deploy(f"line-{thing}", wanted)
        ended = await device.ended(deployment)
        assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
        found = await device.nucleus.component(one.name)
        assert (found["state"], found["version"]) == ("RUNNING", "1.0.0")
        # Contract 7, 9: the merge is a string in the API and an object in the document.
        assert found["configuration"] == {"rate": "7", "zone": ["a"]}
        data = device.nucleus.paths.artifacts(one.name, "1.0.0") / "data"
        assert data.read_bytes() == one.artifacts["data"]
        await device.until(lambda: one.name in site.installed(thing), "the report of it")
        reported = site.installed(thing)[one.name]
        assert reported["lifecycleState"] == "RUNNING"
        assert reported["isRoot"]
        core = site.greengrass.get_core_device(coreDeviceThingName=thing)
        assert (core["status"], core["coreVersion"]) == ("HEALTHY", "2.18.0")


async def test_thing_deployment(site: cloud_site.Site, thing: str) -> None:
    """A deployment to the thing comes in its shadow; there success reads COMPLETED (7, trap 10)."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing)
        site.publish(one)
        target = f"arn:aws:iot:{cloud_site.REGION}:{cloud_site.ACCOUNT}:thing/{thing}"
        ended = await device.ended(site.deploy(target, {one.name: "1.0.0"}))
        assert ended["coreDeviceExecutionStatus"] == "COMPLETED", ended
        # A nucleus that starts again does not carry it out again.
        await device.nucleus.stop()
        await device.nucleus.start()
        await device.linked(2)
        await device.nucleus.in_state(one.name, "RUNNING")
        # What is done is skipped, and a further revision is not.
        site.publish(press(thing, "1.1.0"))
        ended = await device.ended(site.deploy(target, {one.name: "1.1.0"}))
        assert ended["coreDeviceExecutionStatus"] == "COMPLETED", ended
        assert device.nucleus.log().count("Deployment begun") == 2


async def test_broken_version_goes_back_and_holds_nothing_up(
    site: cloud_site.Site, thing: str
) -> None:
    """A version that fails is rolled back with nothing fetched, and the next one is carried out."""
    async with cloud_site.device(site, thing) as device:
        site.publish(press(thing))
        broken = press(thing, "1.1.0", run="echo no press here >&2; exit 3")
        site.publish(broken)
        site.publish(press(thing, "1.2.0"))
        site.group(f"line-{thing}", thing)
        first = site.deploy(f"line-{thing}", {broken.name: "1.0.0"})
        await device.ended(first)
        failed = await device.ended(site.deploy(f"line-{thing}", {broken.name: "1.1.0"}))
        assert failed["coreDeviceExecutionStatus"] == "FAILED"
        assert "no press here" in failed["reason"]
        assert "COMPONENT_BROKEN" in failed["statusDetails"]["errorStack"]
        await device.nucleus.in_state(broken.name, "RUNNING", "1.0.0")
        back = await device.ended(site.deploy(f"line-{thing}", {broken.name: "1.0.0"}))
        assert back["coreDeviceExecutionStatus"] == "SUCCEEDED"
        ends = [line for line in device.nucleus.log().splitlines() if "Deployment ended" in line]
        assert "bytes_fetched=0" in ends[-1]
        last = await device.ended(site.deploy(f"line-{thing}", {broken.name: "1.2.0"}))
        assert last["coreDeviceExecutionStatus"] == "SUCCEEDED"


async def test_left_out_run_with_clears(site: cloud_site.Site, thing: str) -> None:
    """What earlier deployments said of users and limits goes unless said again (7, trap 11)."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing, run='echo "$(ulimit -u)" "$(id -un)" > user; exec sleep 1000')
        lamp = recipes.Component(
            component(LAMP, thing), run=IDLE, dependencies={one.name: ">=1.0.0"}
        )
        site.publish(one)
        site.publish(lamp)
        site.group(f"line-{thing}", thing)
        limits = {"memory": 204800, "cpus": 0.5}
        run_with = {"systemResourceLimits": limits}
        wanted = {one.name: {"componentVersion": "1.0.0", "runWith": run_with}}
        await device.ended(site.deploy(f"line-{thing}", wanted))
        # As a mere dependency it keeps them, because nobody speaks of it.
        plain = await device.ended(site.deploy(f"line-{thing}", {lamp.name: "1.0.0"}))
        assert plain["coreDeviceExecutionStatus"] == "SUCCEEDED", plain
        assert _limits(device.nucleus.paths.database, one.name) == [204800, 0.5]
        await device.ended(site.deploy(f"line-{thing}", {one.name: "1.0.0"}))
        assert _limits(device.nucleus.paths.database, one.name) == [None, None]


def _limits(database: Path, name: str) -> list[Any]:
    """Return the limits that the nucleus keeps of a component."""
    with contextlib.closing(sqlite3.connect(database)) as opened:
        rows = opened.execute("SELECT document FROM components WHERE name = ?", [name]).fetchall()
    document = json.loads(rows[0][0])
    return [document["memory_kilobytes"], document["cpus"]]


async def test_flipped_byte_is_refused_by_name(site: cloud_site.Site, thing: str) -> None:
    """An object that is not what the recipe's digest says is never used, and is named."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing)
        site.publish(one)
        key = f"{one.name}/1.0.0/data"
        site.s3.put_object(Bucket=cloud_site.BUCKET, Key=key, Body=b"X" + one.artifacts["data"][1:])
        site.group(f"line-{thing}", thing)
        ended = await device.ended(site.deploy(f"line-{thing}", {one.name: "1.0.0"}))
        assert ended["coreDeviceExecutionStatus"] == "FAILED"
        assert f"data of {one.name} 1.0.0" in ended["reason"]
        assert "ARTIFACT_CHECKSUM_MISMATCH" in ended["statusDetails"]["errorStack"]
        assert not list(device.nucleus.paths.downloads.iterdir())
        assert not await device.nucleus.component(one.name)


async def test_missing_object_is_named(site: cloud_site.Site, thing: str) -> None:
    """An artifact that is gone from its bucket fails the deployment with the cloud's reason."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing)
        site.publish(one)
        site.s3.delete_object(Bucket=cloud_site.BUCKET, Key=f"{one.name}/1.0.0/data")
        site.group(f"line-{thing}", thing)
        ended = await device.ended(site.deploy(f"line-{thing}", {one.name: "1.0.0"}))
        assert ended["coreDeviceExecutionStatus"] == "FAILED"
        assert f"cannot download data of {one.name} 1.0.0" in ended["reason"]
        assert "ARTIFACT_DOWNLOAD_ERROR" in ended["statusDetails"]["errorStack"]


async def test_group_that_was_left(site: cloud_site.Site, thing: str) -> None:
    """The components of a group that the device left go with the next deployment, others stay."""
    async with cloud_site.device(site, thing) as device:
        one, lamp = press(thing), recipes.Component(component(LAMP, thing), run=IDLE)
        site.publish(one)
        site.publish(lamp)
        site.group(f"a-{thing}", thing)
        site.group(f"b-{thing}", thing)
        await device.ended(site.deploy(f"a-{thing}", {one.name: "1.0.0"}))
        await device.ended(site.deploy(f"b-{thing}", {lamp.name: "1.0.0"}))
        for name in (one.name, lamp.name):
            await device.nucleus.in_state(name, "RUNNING")
        site.iot.remove_thing_from_thing_group(thingGroupName=f"a-{thing}", thingName=thing)
        again = site.deploy(f"b-{thing}", {lamp.name: {"componentVersion": "1.0.0"}})
        await device.ended(again)
        assert not await device.nucleus.component(one.name)
        await device.nucleus.in_state(lamp.name, "RUNNING")
        assert "Group left" in device.nucleus.log()
        await device.until(lambda: one.name not in site.installed(thing), "the report of it")


async def test_conflicting_groups_are_named(site: cloud_site.Site, thing: str) -> None:
    """Two groups that pin different versions fail the deployment, which names both of them."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing)
        site.publish(one)
        site.publish(press(thing, "2.0.0"))
        site.group(f"a-{thing}", thing)
        site.group(f"b-{thing}", thing)
        await device.ended(site.deploy(f"a-{thing}", {one.name: "1.0.0"}))
        ended = await device.ended(site.deploy(f"b-{thing}", {one.name: "2.0.0"}))
        assert ended["coreDeviceExecutionStatus"] == "FAILED"
        assert f"thinggroup/a-{thing} asks for 1.0.0" in ended["reason"]
        assert f"thinggroup/b-{thing} asks for 2.0.0" in ended["reason"]
        await device.nucleus.in_state(one.name, "RUNNING", "1.0.0")


async def test_broken_download_resumes(site: cloud_site.Site, thing: str) -> None:
    """A download that breaks goes on where it broke, and across a kill of the nucleus, too."""
    size = 4 * MEGABYTE
    async with cloud_site.device(site, thing) as device:
        one = press(thing, artifacts={"data": os.urandom(size)})
        site.publish(one)
        site.group(f"line-{thing}", thing)
        device.https.break_after = MEGABYTE
        deployment = site.deploy(f"line-{thing}", {one.name: "1.0.0"})
        downloads = device.nucleus.paths.downloads

        def came() -> int:
            return sum(f.stat().st_size for f in downloads.iterdir()) if downloads.is_dir() else 0

        await device.nucleus.until(lambda: came() > 1.5 * MEGABYTE, "the second part")
        await device.nucleus.kill()
        device.mend()
        kept = came()
        await device.nucleus.start()
        ended = await device.ended(deployment)
        assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
        assert kept > 0
        assert device.https.passed < 1.5 * size
        assert "Download resumed" in device.nucleus.log()
        data = device.nucleus.paths.artifacts(one.name, "1.0.0") / "data"
        assert data.read_bytes() == one.artifacts["data"]
        assert not downloads.is_dir() or not list(downloads.iterdir())


async def test_large_artifact_takes_little_memory(site: cloud_site.Site, thing: str) -> None:
    """A download of 200 MB costs the nucleus no more than a few megabytes of memory."""
    async with cloud_site.device(site, thing) as device:
        block = os.urandom(MEGABYTE)
        one = press(thing, artifacts={"data": block * 200})
        await asyncio.to_thread(site.publish, one)
        site.group(f"line-{thing}", thing)
        await device.linked()
        before = _peak(device.nucleus)
        ended = await device.ended(site.deploy(f"line-{thing}", {one.name: "1.0.0"}))
        assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
        assert _peak(device.nucleus) - before < 16 * 1024


def _peak(process: nuclei.NucleusProcess) -> int:
    """Return the most memory a process ever held, in kilobytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(s for s in status.splitlines() if s.startswith("VmHWM")).split()[1])


async def test_what_is_stored_needs_no_data_plane(site: cloud_site.Site, thing: str) -> None:
    """With the data plane out of reach, versions that the device still has can be deployed."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing)
        site.publish(one)
        site.publish(press(thing, "1.1.0"))
        site.group(f"line-{thing}", thing)
        await device.ended(site.deploy(f"line-{thing}", {one.name: "1.0.0"}))
        await device.ended(site.deploy(f"line-{thing}", {one.name: "1.1.0"}))
        device.https.cut()
        ended = await device.ended(site.deploy(f"line-{thing}", {one.name: "1.0.0"}))
        assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
        await device.nucleus.in_state(one.name, "RUNNING", "1.0.0")


async def test_revision_replaces_one_that_waits(site: cloud_site.Site, thing: str) -> None:
    """A deployment that waits for the network is given up when a newer revision comes."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing, artifacts={"data": os.urandom(2 * MEGABYTE)})
        site.publish(one)
        site.publish(recipes.Component(one.name, "1.1.0", run=IDLE))
        site.group(f"line-{thing}", thing)
        await device.linked()
        device.https.cut()
        first = site.deploy(f"line-{thing}", {one.name: "1.0.0"})
        await device.nucleus.until(
            lambda: "waits for the cloud" in device.nucleus.log(), "the first one waits"
        )
        job = site.greengrass.get_deployment(deploymentId=first)["iotJobId"]
        site.iot.cancel_job(jobId=job, force=True)
        await device.nucleus.until(
            lambda: "Deployment cancelled by the cloud" in device.nucleus.log(), "it is given up"
        )
        device.mend()
        second = site.deploy(f"line-{thing}", {one.name: "1.1.0"})
        ended = await device.ended(second)
        assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
        await device.nucleus.in_state(one.name, "RUNNING", "1.1.0")


async def test_large_document_is_downloaded(site: cloud_site.Site, thing: str) -> None:
    """A document too large to be sent comes as a reference, and the device gets the rest itself."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing)
        site.publish(one)
        site.group(f"line-{thing}", thing)
        table = {f"entry {n}": "x" * 100 for n in range(600)}
        update = {"merge": json.dumps({"table": table})}
        wanted = {one.name: {"componentVersion": "1.0.0", "configurationUpdate": update}}
        ended = await device.ended(site.deploy(f"line-{thing}", wanted))
        assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
        assert (await device.nucleus.component(one.name))["configuration"]["table"] == table


async def test_component_may_put_the_update_off(site: cloud_site.Site, thing: str) -> None:
    """Components that subscribed are told before a fleet deployment, and it waits for them."""
    waiter = (
        "import pathlib, time\n"
        "from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2\n"
        "client = GreengrassCoreIPCClientV2()\n"
        "asked = pathlib.Path('asked')\n"
        "def told(event):\n"
        "    if event.pre_update_event:\n"
        "        first = not asked.exists()\n"
        "        asked.write_text(event.pre_update_event.deployment_id)\n"
        "        client.defer_component_update(\n"
        "            deployment_id=event.pre_update_event.deployment_id,\n"
        "            recheck_after_ms=200 if first else 0)\n"
        "    if event.post_update_event:\n"
        "        pathlib.Path('over').write_text(event.post_update_event.deployment_id)\n"
        "client.subscribe_to_component_updates(on_stream_event=told)\n"
        "pathlib.Path('ready').touch()\n"
        "time.sleep(1000)\n"
    )
    async with cloud_site.device(site, thing) as device:
        one = recipes.Component(
            f"com.example.Waiter.{thing}",
            run=f"exec {sys.executable} {{artifacts:path}}/waiter.py",
            artifacts={"waiter.py": waiter.encode()},
        )
        lamp = recipes.Component(component(LAMP, thing), run=IDLE)
        site.publish(one)
        site.publish(lamp)
        site.group(f"line-{thing}", thing)
        await device.ended(site.deploy(f"line-{thing}", {one.name: "1.0.0"}))
        await device.nucleus.until(device.nucleus.work(one.name, "ready").is_file, "it listens")
        policy = {"action": "NOTIFY_COMPONENTS", "timeoutInSeconds": 30}
        deployment = site.deploy(
            f"line-{thing}",
            {one.name: "1.0.0", lamp.name: "1.0.0"},
            deploymentPolicies={"componentUpdatePolicy": policy},
        )
        ended = await device.ended(deployment)
        assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
        assert device.nucleus.work(one.name, "asked").read_text() == deployment
        over = device.nucleus.work(one.name, "over")
        await device.nucleus.until(over.is_file, "it is told of the end")


async def test_local_deployment_takes_the_rest_from_the_cloud(
    site: cloud_site.Site, thing: str
) -> None:
    """A component that is only in the cloud can be deployed by hand; what is here is not asked."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing)
        site.publish(one)
        site.group(f"line-{thing}", thing)
        await device.ended(site.deploy(f"line-{thing}", {one.name: "1.0.0"}))
        here = recipes.Component(
            component(LAMP, thing), run=IDLE, dependencies={one.name: ">=1.0.0 <2.0.0"}
        )
        device.nucleus.release.add(here)
        asked = device.https.connections
        report = await device.nucleus.deploy("--merge", f"{here.name}=1.0.0")
        assert report["status"] == "SUCCEEDED", report
        assert device.https.connections == asked
        newer = press(thing, "1.5.0", artifacts={})  # it may read only what is deployed to it
        site.publish(newer)
        report = await device.nucleus.deploy("--merge", f"{newer.name}=1.5.0", "--group", "other")
        assert report["status"] == "FAILED"  # the group asks for 1.0.0 still
        line = f"line-{thing}"
        report = await device.nucleus.deploy("--merge", f"{newer.name}=1.5.0", "--group", line)
        assert report["status"] == "SUCCEEDED", report
        await device.nucleus.in_state(newer.name, "RUNNING", "1.5.0")


async def test_nucleus_is_configured_by_a_deployment(site: cloud_site.Site, thing: str) -> None:
    """A fleet of several nuclei names a version; ours keeps its own and takes the configuration."""
    async with cloud_site.device(site, thing) as device:
        site.group(f"line-{thing}", thing)
        update = {"merge": '{"logging": {"level": "DEBUG"}}'}
        listed = site.greengrass.list_component_versions(
            arn=f"arn:aws:greengrass:{cloud_site.REGION}:aws:components:aws.greengrass.Nucleus"
        )["componentVersions"]
        version = listed[0]["componentVersion"]
        wanted = {
            "aws.greengrass.Nucleus": {
                "componentVersion": version,
                "configurationUpdate": update,
            }
        }
        ended = await device.ended(site.deploy(f"line-{thing}", wanted))
        assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
        found = await device.nucleus.component("aws.greengrass.Nucleus")
        assert found["configuration"]["logging"]["level"] == "DEBUG"


def _job(site: cloud_site.Site, thing: str, name: str, document: Any) -> None:
    """Send a job that no deployment is behind."""
    site.iot.create_job(
        jobId=name,
        targets=[f"arn:aws:iot:{cloud_site.REGION}:{cloud_site.ACCOUNT}:thing/{thing}"],
        document=json.dumps(document),
        namespaceId="aws-gg-deployment",
    )


async def test_jobs_that_cannot_be_done_are_rejected(site: cloud_site.Site, thing: str) -> None:
    """Garbage and documents older than what was done are REJECTED with a reason; work goes on."""
    async with cloud_site.device(site, thing) as device:
        one = press(thing)
        site.publish(one)
        site.group(f"line-{thing}", thing)
        await device.ended(site.deploy(f"line-{thing}", {one.name: "1.0.0"}))
        stale = {
            "deploymentId": f"stale-{thing}",
            "configurationArn": "arn:aws:greengrass:eu-west-1:123456789012:configuration:"
            f"thinggroup/line-{thing}:1",
            "creationTimestamp": 1000,
            "components": {},
        }
        jobs = {f"garbage-{thing}": {"deploymentId": 5}, f"stale-{thing}": stale}
        for name, document in jobs.items():
            _job(site, thing, name, document)
        for name, reason in zip(jobs, ("cannot use", "newer deployment"), strict=True):

            def execution(name: str = name) -> dict[str, Any]:
                found = site.iot.describe_job_execution(jobId=name, thingName=thing)
                return dict(found["execution"])

            await device.until(lambda: execution()["status"] == "REJECTED", f"{name} is rejected")
            details = execution()["statusDetails"]["detailsMap"]
            assert reason in details["deployment-failure-cause"]
        await device.nucleus.in_state(one.name, "RUNNING", "1.0.0")
        site.publish(press(thing, "1.1.0"))
        ended = await device.ended(site.deploy(f"line-{thing}", {one.name: "1.1.0"}))
        assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
