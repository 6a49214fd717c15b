"""The command line in the words of `greengrass-cli` (contract 3.9)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import nucleus as nuclei
from tests.support import recipes
from verge.nucleus import logs, paths, settings

PRESS = "com.example.Press"
CAMERA = "com.example.Camera"
FOREVER = "exec sleep 1000"
JSON_LOGS = {"logging": {"format": "JSON"}}


def component(name: str, run: str = FOREVER, **more: object) -> recipes.Component:
    return recipes.Component(name, run=run, **more)  # type: ignore[arg-type]


async def create(nucleus: nuclei.NucleusProcess, *arguments: str) -> str:
    directories = ("-r", str(nucleus.release.recipes), "-a", str(nucleus.release.artifacts))
    result = await nucleus.cli("deployment", "create", *directories, *arguments)
    found = re.fullmatch(r"Local deployment submitted! Deployment Id: (\S+)\n", result.out)
    assert found, result
    return str(uuid.UUID(found[1]))


async def test_deployment_commands() -> None:
    """A deployment is created, shown, listed and, once ended, no more cancelled."""
    async with nuclei.running_nucleus(component(PRESS, configuration={"rate": 1})) as nucleus:
        update = json.dumps({PRESS: {"MERGE": {"rate": 5}}})
        identity = await create(nucleus, "-m", f"{PRESS}=1.0.0", "-c", update, "-fp", "ROLLBACK")
        await nucleus.ended(identity)
        shown = await nucleus.cli("deployment", "status", "-i", identity)
        assert re.fullmatch(
            rf"{identity}: SUCCEEDED\nCreated on: \d\d-\d\d-\d{{4}} \d\d:\d\d:\d\d UTC\n", shown.out
        )
        listed = await nucleus.cli("deployment", "list")
        assert listed.out.splitlines()[0] == f"Deployment ID: {identity}"
        assert listed.out.splitlines()[2] == "Status: SUCCEEDED"
        cancelled = await nucleus.cli("deployment", "cancel", "-i", identity)
        assert "already finished" in cancelled.out
        assert (await nucleus.component(PRESS))["configuration"] == {"rate": 5}


async def test_status_of_a_failed_deployment() -> None:
    """A failure shows its detailed status, error stack, error types and cause."""
    async with nuclei.running_nucleus(component(PRESS, "exit 3")) as nucleus:
        identity = await create(nucleus, "-m", f"{PRESS}=1.0.0")
        await nucleus.ended(identity)
        lines = (await nucleus.cli("deployment", "status", "-i", identity)).out.splitlines()
        assert lines[0] == f"{identity}: FAILED"
        assert lines[2:5] == [
            "Detailed Status: FAILED_ROLLBACK_NOT_REQUESTED",
            "Deployment Error Stack: DEPLOYMENT_FAILURE, COMPONENT_UPDATE_ERROR, COMPONENT_BROKEN",
            "Deployment Error Types: USER_COMPONENT_ERROR",
        ]
        assert lines[5].startswith(f"Deployment Failure Cause: {PRESS} 1.0.0: run exited with")
        document = (await nucleus.cli("deployment", "status", "-i", identity, "--json")).document
        assert document["error_types"] == ["USER_COMPONENT_ERROR"]


async def test_component_commands() -> None:
    """Components are listed in blocks, and several are stopped and restarted by one command."""
    components = component(PRESS, configuration={"rate": 1}), component(CAMERA)
    async with nuclei.running_nucleus(*components) as nucleus:
        await nucleus.deploy("--merge", PRESS, "--merge", CAMERA)
        listed = (await nucleus.cli("component", "list")).out.splitlines()
        assert listed[0] == "Components currently running in Greengrass:"
        details = (await nucleus.cli("component", "details", "-n", PRESS)).out.splitlines()
        assert details == [
            f"Component Name: {PRESS}",
            "    Version: 1.0.0",
            "    State: RUNNING",
            '    Configuration: {"rate": 1}',
        ]
        assert all(line in listed for line in details)
        stopped = await nucleus.cli("component", "stop", "-n", f"{PRESS},{CAMERA}")
        assert (stopped.code, stopped.out) == (0, "")
        assert (await nucleus.component(CAMERA))["state"] == "FINISHED"
        restarted = await nucleus.cli("component", "restart", PRESS, "com.example.Ghost", "--json")
        assert restarted.code == 1
        assert restarted.document["components"][PRESS] == "SUCCEEDED"
        assert "com.example.Ghost" in restarted.err
        await nucleus.in_state(PRESS, "RUNNING")


async def test_run_with_and_limits() -> None:
    """`--runWith` and `--systemLimits` say as whom and within what a component runs."""
    async with nuclei.running_nucleus(component(PRESS)) as nucleus:
        limits = json.dumps({PRESS: {"memory": 102400, "cpus": 0.5}})
        await nucleus.ended(
            await create(
                nucleus,
                *("-m", f"{PRESS}=1.0.0", "--systemLimits", limits),
                *("--runWith", f"{PRESS}:posixUser=root:root"),
            )
        )
        plan = await nucleus.deploy("--merge", PRESS, "--dry-run")
        assert plan["changes"] == []
        wrong = await nucleus.cli("deployment", "create", "-m", PRESS, "--runWith", "nonsense")
        assert "write COMPONENT:posixUser=USER[:GROUP]" in wrong.err


async def test_log_search() -> None:
    """`logs get` finds lines of JSON logs by field, expression and time."""
    press = component(PRESS, "echo good morning; echo no lens >&2; " + FOREVER)
    async with nuclei.running_nucleus(press, configuration=JSON_LOGS) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        await nucleus.until(lambda: "no lens" in nucleus.log(PRESS), "both lines are logged")

        async def search(*arguments: str) -> list[str]:
            result = await nucleus.cli("logs", "get", *arguments)
            assert result.code == 0, result
            return result.out.splitlines()

        (line,) = await search("-f", "eventType=stderr", "-f", "lens,camera")
        assert f"[WARN] (main) {PRESS}: stderr. no lens." in line
        assert await search("-f", "lens", "-t", "-1h,-30m") == []
        assert len(await search("-f", "lens", "-t", "-1h")) == 1
        around = await search(
            "-lf", str(nucleus.paths.logs / f"{PRESS}.log"), "-f", "lens", "-b", "1"
        )
        assert "good morning" in around[0]
        changes = await search("-f", "message=State changed", "-f", f"component={PRESS}", "--json")
        assert [json.loads(each)["contexts"]["new"] for each in changes] == [
            "INSTALLED",
            "STARTING",
            "RUNNING",
        ]
        files = (await nucleus.cli("logs", "list-log-files", "--json")).document["files"]
        assert str(nucleus.paths.logs / "greengrass.log") in files
        wrong = await nucleus.cli("logs", "get", "-t", "yesterday")
        assert wrong.code == 1
        assert "cannot use the time yesterday" in wrong.err


async def test_end_of_a_log() -> None:
    """The short form shows the end of a log, as text or as one document."""
    press = component(PRESS, "echo one; echo two; " + FOREVER)
    async with nuclei.running_nucleus(press) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        await nucleus.until(lambda: "two" in nucleus.log(PRESS), "both lines are logged")
        document = (await nucleus.cli("logs", PRESS, "--lines", "1", "--json")).document
        assert document["name"] == PRESS
        assert len(document["lines"]) == 1
        assert "stdout. two." in document["lines"][0]


async def test_log_search_follows() -> None:
    """`logs get --follow` goes on with lines as they come."""
    press = component(PRESS, "echo good morning; " + FOREVER)
    async with nuclei.running_nucleus(press, configuration=JSON_LOGS) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        process = await nucleus.start_process("logs", "get", "-f", "morning", "--follow")
        assert process.stdout
        try:
            assert b"good morning" in await process.stdout.readline()
            await nucleus.cli("component", "restart", "-n", PRESS)
            async with asyncio.timeout(20):
                assert b"good morning" in await process.stdout.readline()
        finally:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def following(*words: str) -> AsyncIterator[asyncio.StreamReader]:
    """Run a command that goes on for ever; yield what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "verge.nucleus", *words), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        async with asyncio.timeout(20):
            yield process.stdout
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("place", ["--log-dir", "--log-file"])
async def test_log_search_follows_files_that_are_set_aside(tmp_path: Path, place: str) -> None:
    """`logs get --follow` prints every line once while its file gets full and another name."""
    limits = settings.LogSettings(file_size=2000, total_size=10**6)
    file = logs.LogFile(tmp_path, PRESS, limits)
    writer = logs.Writer(file, "JSON")
    writer.event("INFO", "press", "stroke 0")
    where = str(tmp_path if place == "--log-dir" else file.path)
    seen = []
    async with following("logs", "get", place, where, "--follow", "--json") as printed:
        for number in range(100):
            seen.append(json.loads(await printed.readline())["message"])
            writer.event("INFO", "press", f"stroke {number + 1}")
    file.close()
    assert seen == [f"stroke {number}" for number in range(100)]
    assert len(file.older_parts()) > 3


async def test_named_log_that_is_set_aside_is_waited_for(tmp_path: Path) -> None:
    """Between the moment a log is set aside and its next line, there is no file of its name."""
    file = logs.LogFile(tmp_path, PRESS, settings.LogSettings())
    writer = logs.Writer(file, "JSON")
    writer.event("INFO", "press", "one")
    words = ("--log-file", str(file.path), "--follow", "--json")
    async with following("logs", "get", *words) as printed:
        assert b'"one"' in await printed.readline()
        writer.event("INFO", "press", "two")
        file.path.rename(file.path.with_name(f"{PRESS}_2026_01_31_12_0.log"))
        assert b'"two"' in await printed.readline(), "it is read under its other name"
        file.close()
        writer.event("INFO", "press", "three")
        assert b'"three"' in await printed.readline()
    file.close()


def wait_for_watch(pid: int) -> None:
    """Wait until a process watches a directory."""
    said = ""
    while "inotify wd" not in said:
        for each in Path(f"/proc/{pid}/fdinfo").iterdir():
            with contextlib.suppress(FileNotFoundError):
                said += each.read_text()
        time.sleep(nuclei.LOOK)


async def test_log_search_follows_a_directory_that_is_empty(tmp_path: Path) -> None:
    """Logs may come after whoever waits for them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "verge.nucleus", "logs", "get"),
        *("--log-dir", str(tmp_path), "--follow", "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    file = logs.LogFile(tmp_path, PRESS, settings.LogSettings())
    writer = logs.Writer(file, "JSON")
    try:
        async with asyncio.timeout(20):
            await asyncio.to_thread(wait_for_watch, process.pid)
            writer.event("INFO", "press", "first")
            assert b'"first"' in await process.stdout.readline()
    finally:
        process.kill()
        await process.wait()
        file.close()


async def test_end_of_a_log_is_followed_without_a_gap(tmp_path: Path) -> None:
    """Lines that come while the end of a log is shown, and before it is set aside, are shown."""
    where = paths.Paths(tmp_path)
    where.create()
    file = logs.LogFile(where.logs, PRESS, settings.LogSettings())
    for number in range(1000):
        file.write(b"%0200d\n" % number)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "verge.nucleus", "--root", str(tmp_path)),
        *("logs", PRESS, "--follow", "--lines", "1000"),
        stdout=asyncio.subprocess.PIPE,
        limit=1000,  # bytes; then the pipe is full, and the command in the middle of showing
    )
    assert process.stdout
    try:
        async with asyncio.timeout(20):
            seen = [await process.stdout.readline()]
            file.write(b"%0200d\n" % 1000)
            file.close()
            file.path.rename(file.path.with_name(f"{PRESS}_2026_01_31_12_0.log"))
            file.write(b"%0200d\n" % 1001)
            seen += [await process.stdout.readline() for _ in range(1001)]
        assert [int(line) for line in seen] == list(range(1002))
    finally:
        process.kill()
        await process.wait()
        file.close()


async def test_following_ends_when_nobody_reads_any_more(tmp_path: Path) -> None:
    """`logs NAME --follow` ends with its reader, such as an SSH session, though no line comes."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / f"{PRESS}.log").write_text("stroke 0\n", encoding="utf-8")
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "verge.nucleus", "logs", PRESS),
        *("--root", str(tmp_path), "--follow"),
        stdout=writing,
    )
    os.close(writing)
    try:
        assert os.read(reading, 100) == b"stroke 0\n"
        os.close(reading)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["deployment", "status"], id="no-id"),
        pytest.param(["component", "stop"], id="no-name"),
        pytest.param(["logs", "get", "--syslog"], id="syslog"),
    ],
)
async def test_incomplete_command_says_what_to_do(arguments: list[str]) -> None:
    """A command that lacks something ends with code 1 and a sentence."""
    async with nuclei.running_nucleus() as nucleus:
        result = await nucleus.cli(*arguments)
        assert result.code == 1
        assert result.err.startswith("ERROR cannot")
