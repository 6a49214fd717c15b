"""Messages by hand: `pubsub` and `iotcore` (contract 3.9)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from tests.support import nucleus as nuclei
from verge.nucleus.ipc import client


@contextlib.asynccontextmanager
async def subscribed(
    nucleus: nuclei.NucleusProcess, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a `sub` command; it has subscribed when the block begins."""
    process = await nucleus.start_process(*arguments)
    try:
        assert process.stderr
        assert b"* Subscribed to" in await process.stderr.readline()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_local_messages(tmp_path: Path) -> None:
    """What `pubsub pub` sends as bytes, from a file or as JSON, `pubsub sub` prints."""
    file = tmp_path / "message"
    file.write_text("from a file")
    async with (
        nuclei.running_nucleus() as nucleus,
        subscribed(nucleus, "pubsub", "sub", "-t", "a/#", "-c", "3") as text,
        subscribed(nucleus, "pubsub", "sub", "--topic", "a/b", "--count", "3", "--json") as lines,
    ):
        for more in (["-m", "by hand"], ["-m", str(file)], ["-m", '{"x": 1}', "--as-json"]):
            assert (await nucleus.cli("pubsub", "pub", "-t", "a/b", *more)).code == 0
        out, _ = await text.communicate()
        assert out.decode().splitlines() == ["by hand", "from a file", '{"x": 1}']
        out, _ = await lines.communicate()
        assert [json.loads(line) for line in out.splitlines()] == [
            {"topic": "a/b", "message": "by hand"},
            {"topic": "a/b", "message": "from a file"},
            {"topic": "a/b", "message": {"x": 1}},
        ]


async def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """Bytes come out as base64 where a document is asked for."""
    file = tmp_path / "message"
    file.write_bytes(b"\xff\x00")
    async with (
        nuclei.running_nucleus() as nucleus,
        subscribed(nucleus, "pubsub", "sub", "-t", "a", "-c", "1", "--json") as lines,
    ):
        await nucleus.cli("pubsub", "pub", "-t", "a", "-m", str(file))
        out, _ = await lines.communicate()
        assert json.loads(out) == {"topic": "a", "base64": "/wA="}


async def test_refused_messages() -> None:
    """What the nucleus or the command line refuses ends with code 1 and a sentence."""
    async with nuclei.running_nucleus() as nucleus:
        refused = await nucleus.cli("pubsub", "pub", "-t", "a/#", "-m", "x")
        assert refused.code == 1
        assert "must not contain" in refused.err
        broken = await nucleus.cli("pubsub", "pub", "-t", "a", "-m", "{", "--as-json")
        assert broken.code == 1
        assert "cannot read --message as JSON" in broken.err


async def test_messages_to_the_cloud() -> None:
    """`iotcore pub` is accepted once the message is on disk; `iotcore sub` waits for the link."""
    async with nuclei.running_nucleus() as nucleus:
        sent = await nucleus.cli("iotcore", "pub", "-t", "a/b", "-m", "x", "-q", "1", "--json")
        assert sent.document == {"topic": "a/b", "published": True}
        refused = await nucleus.cli("iotcore", "pub", "-t", "a/+", "-m", "x")
        assert refused.code == 1
        async with subscribed(nucleus, "iotcore", "sub", "-t", "a/#", "-q", "1"):
            events = await asyncio.to_thread(status_of_link, nucleus)
            assert events == {"connectionStatusEvent": {"status": "DISCONNECTED"}}


def status_of_link(nucleus: nuclei.NucleusProcess) -> Mapping[str, Any]:
    info = json.loads(next(nucleus.paths.cli_info.glob("user-*")).read_text())
    with client.IpcClient(nucleus.paths.socket, info["cli_auth_token"]) as connection:
        return next(connection.subscribe("SubscribeToIoTCoreConnectionStatus", {}, 10))
