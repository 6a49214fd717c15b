"""What a real nucleus promises components, deployments and kills included."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.ipc import raw
from tests.support import nucleus as nuclei
from tests.support import recipes
from verge.nucleus.ipc import client as ipc_client
from verge.nucleus.lifecycle import reaper

NAME = "com.example.Careful"
SHADOW = {"thingName": "press-01"}
SERVICES = ("aws.greengrass.ShadowManager", "aws.greengrass.ipc.mqttproxy")
POLICY = {"one": {"operations": ["*"], "resources": ["*"]}}


def component(rate: int = 5) -> recipes.Component:
    return recipes.Component(
        NAME,
        run="echo $SVCUID > token.new; mv token.new token; exec sleep 1000",
        configuration={"rate": rate, "accessControl": dict.fromkeys(SERVICES, POLICY)},
    )


@pytest.fixture
async def nucleus() -> AsyncIterator[nuclei.NucleusProcess]:
    async with nuclei.running_nucleus(component()) as running:
        await running.deploy("--merge", NAME)
        yield running


async def connect(nucleus: nuclei.NucleusProcess) -> raw.RawClient:
    """Return a client that speaks for the component."""
    token = nucleus.work(NAME, "token")
    await nucleus.until(token.is_file, "the component tells its token")
    client = raw.RawClient(nucleus.paths.socket, nuclei.PATIENCE)
    client.shake_hands(token.read_text().strip())
    return client


async def change_rate(nucleus: nuclei.NucleusProcess, rate: int) -> str:
    return await nucleus.submit(componentToConfiguration={NAME: {"MERGE": {"rate": rate}}})


async def proposed(client: raw.RawClient) -> dict[str, Any]:
    message = await asyncio.to_thread(client.receive)
    return dict(raw.content(message)["validateConfigurationUpdateEvent"])


def report(client: raw.RawClient, stream: int, **fields: Any) -> tuple[str, Any]:
    return client.call(
        stream, "SendConfigurationValidityReport", {"configurationValidityReport": fields}
    )


@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "rejected"])
async def test_component_decides_on_its_configuration(
    nucleus: nuclei.NucleusProcess, accepted: bool
) -> None:
    """A deployment asks first; a rejection ends it with nothing changed (contract 3.7)."""
    with await connect(nucleus) as client:
        client.call(1, "SubscribeToValidateConfigurationUpdates")
        deployment = await change_rate(nucleus, 6)
        event = await proposed(client)
        assert event["deploymentId"] == deployment
        assert event["configuration"]["rate"] == 6
        assert (await nucleus.status(deployment))["status"] == "IN_PROGRESS"
        answer = {"status": "ACCEPTED"} if accepted else {"status": "REJECTED", "message": "no"}
        shape, _ = report(client, 2, deploymentId=deployment, **answer)
        assert shape == "SendConfigurationValidityReportResponse"
        ended = await nucleus.ended(deployment)
        rate = client.call(3, "GetConfiguration", {"keyPath": ["rate"]})[1]["value"]["rate"]
    if accepted:
        assert (ended["status"], rate) == ("SUCCEEDED", 6)
    else:
        details = ended["deploymentStatusDetails"]
        assert (ended["status"], rate) == ("FAILED", 5)
        assert details["detailedDeploymentStatus"] == "FAILED_NO_STATE_CHANGE"
        assert details["deploymentFailureCause"].endswith(f"{NAME}: it rejects it: no")
        assert details["deploymentErrorStack"][-1] == "COMPONENT_CONFIGURATION_NOT_VALID"


async def test_component_that_leaves_instead_of_answering(nucleus: nuclei.NucleusProcess) -> None:
    """A subscriber that goes without an answer fails the deployment, and holds up no later one."""
    with await connect(nucleus) as client:
        client.call(1, "SubscribeToValidateConfigurationUpdates")
        deployment = await change_rate(nucleus, 6)
        await proposed(client)
    assert (await nucleus.ended(deployment))["status"] == "FAILED"
    assert (await nucleus.ended(await change_rate(nucleus, 7)))["status"] == "SUCCEEDED"


async def test_new_version_is_not_asked(nucleus: nuclei.NucleusProcess) -> None:
    """A component that is replaced by another version has no say."""
    with await connect(nucleus) as client:
        client.call(1, "SubscribeToValidateConfigurationUpdates")
        nucleus.release.add(recipes.Component(NAME, "1.1.0", run="exec sleep 1000"))
        report = await nucleus.deploy(
            "--merge", NAME, "--update-config", json.dumps({NAME: {"MERGE": {"rate": 6}}})
        )
    assert report["status"] == "SUCCEEDED"


async def test_what_was_acknowledged_survives_a_kill(nucleus: nuclei.NucleusProcess) -> None:
    """Shadows, queued messages and secrets are there after SIGKILL."""
    payload = base64.b64encode(b'{"state": {"desired": {"rate": 5}}}').decode()
    message = {"topicName": "a/b", "qos": "1", "payload": payload}
    with await connect(nucleus) as client:
        assert client.call(1, "UpdateThingShadow", {**SHADOW, "payload": payload})[0] == (
            "UpdateThingShadowResponse"
        )
        client.send(
            b"".join(raw.request_frame(n, "PublishToIoTCore", message) for n in range(2, 22))
        )
        shapes = {raw.shape(client.receive()) for _ in range(20)}
        assert shapes == {"PublishToIoTCoreResponse"}
    await nucleus.kill()
    nucleus.work(NAME, "token").unlink()
    await nucleus.start()
    with await connect(nucleus) as client:
        shadow = client.call(1, "GetThingShadow", SHADOW)[1]["payload"]
        assert json.loads(base64.b64decode(shadow))["state"]["desired"] == {"rate": 5}
    await nucleus.kill()
    with contextlib.closing(sqlite3.connect(nucleus.paths.database)) as db:
        assert db.execute("SELECT count(*) FROM spool").fetchone() == (20,)


def write_until_killed(path: Path, token: str, writer: int, enough: threading.Event) -> int:
    """Write ever higher numbers into the configuration; return the last acknowledged one."""
    acknowledged = 0
    with raw.RawClient(path, nuclei.PATIENCE) as client, contextlib.suppress(OSError, EOFError):
        client.shake_hands(token)
        for number in range(1, 100_000):
            request = {"timestamp": time.time(), "valueToMerge": {f"w{writer}": number}}
            shape, content = client.call(number, "UpdateConfiguration", request)
            assert shape == "UpdateConfigurationResponse", content
            acknowledged = number
            if number == 5:
                enough.set()
    return acknowledged


async def test_writes_that_share_a_commit_survive_a_kill(nucleus: nuclei.NucleusProcess) -> None:
    """Of 32 who write at once, each finds what was acknowledged, or the one write after it."""
    (await connect(nucleus)).socket.close()
    token = nucleus.work(NAME, "token").read_text().strip()
    begun = [threading.Event() for _ in range(32)]
    loop = asyncio.get_running_loop()
    with concurrent.futures.ThreadPoolExecutor(len(begun)) as pool:
        writers = [
            loop.run_in_executor(
                pool, write_until_killed, nucleus.paths.socket, token, number, each
            )
            for number, each in enumerate(begun)
        ]
        await nucleus.until(lambda: all(each.is_set() for each in begun), "all are at it")
        await nucleus.kill()
        acknowledged = await asyncio.gather(*writers)
    await nucleus.start()
    kept = (await nucleus.call("GetConfiguration", {"componentName": NAME}))["value"]
    for number, last in enumerate(acknowledged):
        assert kept[f"w{number}"] in {last, last + 1}


async def test_secrets_of_the_command_line(nucleus: nuclei.NucleusProcess, tmp_path: Path) -> None:
    """A secret that is put while the nucleus runs is listed without its value, and removed."""
    value = tmp_path / "value"
    value.write_bytes(b"s3cret\n")
    put = await nucleus.cli("secret", "put", "press/key", "--file", str(value), "--stage", "blue")
    assert put.code == 0, put
    listed = await nucleus.cli("secret", "list", "--json")
    ((secret,),) = (listed.document["secrets"],)
    assert secret["name"] == "press/key"
    assert secret["versions"][0]["stages"] == ["AWSCURRENT", "blue"]
    assert "s3cret" not in listed.out
    answer = await nucleus.call("GetSecretValue", {"secretId": "press/key"})
    assert answer["secretValue"] == {"secretString": "s3cret"}
    assert (await nucleus.cli("secret", "remove", "press/key")).code == 0
    again = await nucleus.cli("secret", "remove", "press/key")
    assert (again.code, again.out) == (1, "")
    assert again.err == "ERROR cannot remove secret press/key: there is none of that name\n"


async def test_metrics_are_kept_on_the_device() -> None:
    """A metric of one of AWS's components is a line of its telemetry log."""
    name = "aws.example.Press"
    access = {"aws.greengrass.ipc.componentmetric": POLICY}
    one = recipes.Component(
        name,
        run="echo $SVCUID > token.new; mv token.new token; exec sleep 1000",
        configuration={"accessControl": access},
    )
    async with nuclei.running_nucleus(one) as nucleus:
        await nucleus.deploy("--merge", name)
        token = nucleus.work(name, "token")
        await nucleus.until(token.is_file, "the component tells its token")
        with raw.RawClient(nucleus.paths.socket) as client:
            client.shake_hands(token.read_text().strip())
            metric = {"name": "cycles", "unit": "COUNT", "value": 3}
            assert client.call(1, "PutComponentMetric", {"metrics": [metric]})[0] == (
                "PutComponentMetricResponse"
            )
        line = json.loads((nucleus.paths.telemetry / f"{name}.log").read_text())
    del line["TS"]
    assert line == {"NS": name, "N": "cycles", "U": "COUNT", "V": 3.0}


TICKING = "com.example.Ticking"
TICK = "while :; do echo >> ticks; sleep 0.02; done"


@pytest.fixture
async def ticking() -> AsyncIterator[nuclei.NucleusProcess]:
    """A nucleus whose component has just been paused."""
    async with nuclei.running_nucleus(recipes.Component(TICKING, run=TICK)) as nucleus:
        await nucleus.deploy("--merge", TICKING)
        await nucleus.until(lambda: ticks(nucleus), "it ticks")
        try:
            await nucleus.call("PauseComponent", {"componentName": TICKING})
        except ipc_client.IpcError as error:
            pytest.skip(f"this host cannot pause components: {error}")
        await stands_still(nucleus)
        yield nucleus


def ticks(nucleus: nuclei.NucleusProcess) -> int:
    file = nucleus.work(TICKING, "ticks")
    return file.stat().st_size if file.is_file() else 0


async def stands_still(nucleus: nuclei.NucleusProcess) -> None:
    """Wait until no tick comes for as long as ten would take."""

    async def still() -> bool:
        before = ticks(nucleus)
        await asyncio.sleep(0.2)
        return ticks(nucleus) == before

    await nucleus.until(still, "it stands still")


async def goes_on(nucleus: nuclei.NucleusProcess) -> None:
    before = ticks(nucleus)
    await nucleus.until(lambda: ticks(nucleus) > before, "it ticks again")


async def test_paused_component_stands_still(ticking: nuclei.NucleusProcess) -> None:
    """A paused component stays RUNNING and does nothing until it is resumed."""
    assert (await ticking.component(TICKING))["state"] == "RUNNING"
    await ticking.call("ResumeComponent", {"componentName": TICKING})
    await goes_on(ticking)
    with pytest.raises(ipc_client.IpcError, match="it is not paused"):
        await ticking.call("ResumeComponent", {"componentName": TICKING})


async def test_paused_component_restarts(ticking: nuclei.NucleusProcess) -> None:
    """A paused component is resumed before it is ended, so it ends and starts as others do."""
    began = time.monotonic()
    await ticking.call("RestartComponent", {"componentName": TICKING})
    await goes_on(ticking)
    assert time.monotonic() - began < reaper.GRACE


async def test_kill_of_the_nucleus_while_a_component_is_paused(
    ticking: nuclei.NucleusProcess,
) -> None:
    """The next nucleus ends what was paused without waiting for it in vain."""
    await ticking.kill()
    await ticking.start()
    began = time.monotonic()
    await goes_on(ticking)
    assert time.monotonic() - began < reaper.GRACE
