"""`verge-nucleus run`: a component directory tried out, and again on every save."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import nucleus as nuclei

HELLO = "com.example.Hello"
SAVE_LIMIT = 2.0
"""Seconds from a save to running, the promise of `run`."""


def write(directory: Path, files: Mapping[str, str], **recipe: Any) -> None:
    directory.mkdir(exist_ok=True)
    document = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": "{COMPONENT_NAME}",
        "ComponentVersion": "{COMPONENT_VERSION}",
        "ComponentConfiguration": {"DefaultConfiguration": {"greeting": "hello"}},
        "Manifests": [
            {
                "Platform": {"os": "linux", "runtime": "*"},
                "Artifacts": [{"Uri": f"s3://B/C/V/{directory.name}.zip", "Unarchive": "ZIP"}],
                "Lifecycle": {
                    "run": "exec python3 -u {artifacts:decompressedPath}/"
                    f"{directory.name}/main.py {{configuration:/greeting}}"
                },
            }
        ],
        **recipe,
    }
    (directory / "recipe.yaml").write_text(json.dumps(document))
    for name, text in files.items():
        (directory / name).write_text(text)


PROGRAM = "import sys, time\nprint(sys.argv[1], {0!r})\ntime.sleep(1000)\n"


class Running:
    """A `run` command and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._passed: list[dict[str, Any]] = []

    async def event(self, wanted: str) -> dict[str, Any]:
        """Return the next event of a kind; those of other kinds are kept.

        Whether a program prints before it counts as running depends on the machine.
        """
        assert self.process.stdout
        for event in self._passed:
            if event["event"] == wanted:
                self._passed.remove(event)
                return event
        async with asyncio.timeout(nuclei.PATIENCE):
            while line := await self.process.stdout.readline():
                event = json.loads(line)
                if event["event"] == wanted:
                    return dict(event)
                self._passed.append(event)
        raise AssertionError(f"ended before it told that it is {wanted}")


@contextlib.asynccontextmanager
async def running(directory: Path, *arguments: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "verge.nucleus", "run", str(directory), "--json", *arguments),
        env={**os.environ, "PYTHONPATH": str(nuclei.SOURCE)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(nuclei.PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            raise


def roots() -> set[Path]:
    return set(Path("/tmp").glob("verge-run-*"))


async def test_save_is_running_within_two_seconds(tmp_path: Path) -> None:
    """A saved file is in force at once, with the same version, and Ctrl-C leaves nothing."""
    directory = tmp_path / HELLO
    write(directory, {"main.py": PROGRAM.format("one")})
    before = roots()
    async with running(directory, "--config", '{"greeting": "hi"}') as command:
        assert (await command.event("output"))["line"] == "hi one"
        await command.event("running")
        assert len(roots() - before) == 1
        (directory / "main.py").write_text(PROGRAM.format("two"))
        began = time.monotonic()
        assert (await command.event("output"))["line"] == "hi two"
        await command.event("running")
        assert time.monotonic() - began < SAVE_LIMIT
        command.process.send_signal(signal.SIGINT)
        assert await command.process.wait() == 0
    assert roots() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
async def test_ended_or_left_by_its_terminal(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM, and SIGHUP of a terminal that is closed, end all of it, the component too."""
    directory = tmp_path / HELLO
    write(directory, {"main.py": "import os\nprint(os.getpid())\n" + PROGRAM.format("one")})
    before = roots()
    async with running(directory) as command:
        component = int((await command.event("output"))["line"])
        await command.event("running")
        os.kill(component, 0)
        command.process.send_signal(number)
        assert await command.process.wait() == 0
        with pytest.raises(ProcessLookupError):
            os.kill(component, 0)
    assert roots() == before


async def test_the_fleet_s_command_becomes_it(tmp_path: Path) -> None:
    """`inv run` is one process, so a signal to it ends everything, and no orphan stays."""
    (tmp_path / "src").symlink_to(nuclei.SOURCE)
    directory = tmp_path / "components" / HELLO
    directory.parent.mkdir()
    write(directory, {"main.py": PROGRAM.format("one")})
    build = {"build_system": "zip"}
    component = {"author": "x", "version": "1.0.0", "build": build}
    gdk = {"component": {HELLO: component}, "gdk_version": "1.6.2"}
    (directory / "gdk-config.json").write_text(json.dumps(gdk))
    program = (
        "import pathlib, sys; from verge.fleet import project, tryout; "
        "tryout.run_component(project.Project(pathlib.Path(sys.argv[1])), sys.argv[2])"
    )
    before = roots()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(tmp_path), HELLO),
        env={**os.environ, "PYTHONPATH": str(nuclei.SOURCE)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    async with asyncio.timeout(nuclei.PATIENCE):
        assert await process.stdout.readline() == b"hello one\n"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert roots() == before


async def test_interrupt_ends_it_where_a_script_had_it_ignored(tmp_path: Path) -> None:
    """Started in the background of a script, which ignores Ctrl-C, it still ends clean."""
    directory = tmp_path / HELLO
    write(directory, {"main.py": PROGRAM.format("one")})
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        async with running(directory) as command:
            await command.event("running")
            command.process.send_signal(signal.SIGINT)
            assert await command.process.wait() == 0
    finally:
        signal.signal(signal.SIGINT, former)


async def test_mistakes_are_told_and_corrected(tmp_path: Path) -> None:
    """A program that fails and a recipe that cannot be read are told; the next save goes on."""
    directory = tmp_path / HELLO
    write(directory, {"main.py": "raise SystemExit('no lens')\n"})
    async with running(directory) as command:
        failed = await command.event("failed")
        assert "run exited with code 1" in failed["reason"]
        (directory / "recipe.yaml").write_text("ComponentName: [")
        assert "recipe.yaml" in (await command.event("refused"))["reason"]
        write(directory, {"main.py": PROGRAM.format("fine")})
        await command.event("running")


async def test_dependencies_come_from_beside(tmp_path: Path) -> None:
    """A component that is depended on is found beside the directory, and reloaded with it."""
    write(tmp_path / "com.example.Lens", {"main.py": PROGRAM.format("lens")})
    needs = {"com.example.Lens": {"VersionRequirement": ">=1.0.0"}}
    soft = {"com.example.Gone": {"VersionRequirement": "*", "DependencyType": "SOFT"}}
    directory = tmp_path / HELLO
    write(directory, {"main.py": PROGRAM.format("me")}, ComponentDependencies={**needs, **soft})
    async with running(directory) as command:
        assert (await command.event("output"))["line"] == "hello me"
        await command.event("running")
        (tmp_path / "com.example.Lens" / "main.py").write_text(PROGRAM.format("other lens"))
        assert (await command.event("output"))["line"] == "hello me"  # it restarts with the lens


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        pytest.param(None, "there is no recipe.yaml in it", id="no-recipe"),
        pytest.param(
            {"ComponentDependencies": {"com.example.Lens": {"VersionRequirement": "*"}}},
            "it depends on com.example.Lens, and there is no",
            id="no-dependency",
        ),
        pytest.param(
            {
                "Manifests": [
                    {"Platform": {"os": "linux"}, "Artifacts": [{"Uri": "s3://b/c/v/model.onnx"}]}
                ]
            },
            "cannot find model.onnx, which the recipe names",
            id="no-artifact",
        ),
    ],
)
async def test_directory_that_cannot_run_is_refused(
    tmp_path: Path, recipe: dict[str, Any] | None, sentence: str
) -> None:
    """What is missing is named, and nothing is left behind."""
    directory = tmp_path / HELLO
    directory.mkdir()
    if recipe is not None:
        write(directory, {}, **recipe)
    before = roots()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "verge.nucleus", "run", str(directory)),
        env={**os.environ, "PYTHONPATH": str(nuclei.SOURCE)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert sentence in err.decode()
    assert "Traceback" not in err.decode()
    assert roots() == before


def child_of(pid: int) -> int:
    """Return the only child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


async def test_end_of_the_nucleus_ends_the_command(tmp_path: Path) -> None:
    """A nucleus that is killed is not waited for, although nothing is written any more."""
    directory = tmp_path / HELLO
    write(directory, {"main.py": PROGRAM.format("one")})
    async with running(directory) as command:
        await command.event("running")
        nucleus = child_of(command.process.pid)
        program = child_of(nucleus)
        os.kill(nucleus, signal.SIGKILL)
        try:
            async with asyncio.timeout(10):
                assert await command.process.wait() == 1
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(program, signal.SIGKILL)
