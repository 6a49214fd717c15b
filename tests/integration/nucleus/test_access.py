"""Who gets at a nucleus, with which token, and for how long."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import sys
from pathlib import Path

import pytest

from tests.contract.ipc import raw
from tests.support import ipc_host, recipes
from tests.support import nucleus as nuclei

PRESS = "com.example.Press"
TELL_TOKEN = "echo $SVCUID > token.new; mv token.new token; exec sleep 1000"
GROUP = 4711
AS_A_MEMBER = f"""
import contextlib, io, os, sys
from verge.nucleus import cli
with contextlib.redirect_stdout(io.StringIO()):
    assert cli.main(sys.argv[1:]) == 0
os.setgroups([{GROUP}]); os.setgid(65534); os.setuid(65534)
sys.exit(cli.main(sys.argv[1:]))
"""
"""Becomes a user without a token of its own, once it has loaded all that the command needs."""


async def test_removed_component_is_cut_off() -> None:
    """A client that outlives its component's processes is cut when the component is removed."""
    press = recipes.Component(PRESS, run=TELL_TOKEN, configuration=ipc_host.pubsub_policy("*"))
    async with nuclei.running_nucleus(press) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        token = nucleus.work(PRESS, "token").read_text().strip()
        with raw.RawClient(nucleus.paths.socket) as outliving:
            outliving.shake_hands(token)
            shape, _ = outliving.call(1, "SubscribeToTopic", {"topic": "a/b"})
            assert shape == "SubscribeToTopicResponse"
            await nucleus.cli("component", "restart", PRESS)
            assert outliving.call(2, "GetConfiguration")[0] == "GetConfigurationResponse"
            await nucleus.deploy("--remove", PRESS)
            assert await asyncio.to_thread(outliving.is_closed)
        with raw.RawClient(nucleus.paths.socket) as late:
            late.send(raw.connect_frame(token))
            answer = late.receive()
            assert (answer.get(":message-type"), answer.get(":message-flags")) == (5, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
async def test_member_of_an_authorized_group_administers() -> None:
    """A user whose group is in AuthorizedPosixGroups has the command line, others have not."""
    async with nuclei.running_nucleus() as nucleus:
        code, said = await as_a_member(nucleus)
        assert code == 1
        assert "name a group of yours in AuthorizedPosixGroups" in said
        await nucleus.stop()
        authorize(nucleus.paths.config_file, str(GROUP))
        await nucleus.start()
        code, said = await as_a_member(nucleus)
        assert code == 0, said
        assert "aws.greengrass.Nucleus" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
async def test_deployment_authorizes_a_group() -> None:
    """A deployment names the groups that have the command line, and takes that back."""
    async with nuclei.running_nucleus() as nucleus:
        for update, expected in (
            ({"MERGE": {"AuthorizedPosixGroups": str(GROUP)}}, 0),
            ({"RESET": ["/AuthorizedPosixGroups"]}, 1),
        ):
            deployment = await nucleus.submit(
                componentToConfiguration={"aws.greengrass.Cli": update}
            )
            assert await nucleus.wait() == 100
            await nucleus.start()
            assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
            code, said = await as_a_member(nucleus)
            assert code == expected, said


async def as_a_member(nucleus: nuclei.NucleusProcess) -> tuple[int | None, str]:
    """Run a command as somebody who is in the group and has no token of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        AS_A_MEMBER,
        "list",
        "--root",
        str(nucleus.root),
        env=nucleus.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


def authorize(file: Path, groups: str) -> None:
    document = json.loads(file.read_text())
    settings = {"configuration": {"AuthorizedPosixGroups": groups}}
    document["services"]["aws.greengrass.Cli"] = settings
    file.write_text(json.dumps(document))


async def get(port: int, path: str, user: str, given: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    credentials = base64.b64encode(f"{user}:{given}".encode()).decode()
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n"
        f"Authorization: Basic {credentials}\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


async def test_debug_password_opens_the_console() -> None:
    """`get-debug-password` prints what opens the console, also after a restart (contract 3.9)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours = {"verge": {"settleSeconds": 0.1, "debugConsolePort": port}}
    press = recipes.Component(PRESS, run="echo hello from the press; exec sleep 1000")
    async with nuclei.running_nucleus(press, configuration=ours) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        shown = (await nucleus.cli("get-debug-password")).out.splitlines()
        assert shown[0] == "Username: debug"
        given = shown[1].removeprefix("Password: ")
        assert shown[2].startswith("Password will expire at: ")
        assert f"http://localhost:{port}/" in shown[3]
        assert (await get(port, "/", "debug", "guess"))[0] == 401
        status, page = await get(port, "/", "debug", given)
        assert status == 200
        assert b"hello from the press" in page
        await nucleus.kill()
        await nucleus.start()
        status, document = await get(port, "/components", "debug", given)
        assert status == 200
        assert PRESS in {one["name"] for one in json.loads(document)["components"]}


async def test_console_is_off_by_default() -> None:
    """Without the setting nothing listens, and the command says how to have it."""
    async with nuclei.running_nucleus() as nucleus:
        said = await nucleus.cli("get-debug-password")
        assert "set verge/debugConsolePort" in said.out
        document = (await nucleus.cli("get-debug-password", "--json")).document
        assert document["username"] == "debug"
        assert document["url"] is None
