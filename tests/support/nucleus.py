"""A real nucleus process on a root of its own, for one test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.support import recipes
from verge.nucleus import paths
from verge.nucleus.ipc import client
from verge.nucleus.lifecycle import reaper

SOURCE = Path(__file__).parents[2] / "src"

PATIENCE = 30.0
"""Seconds after which something is taken never to happen."""

LOOK = 0.01
"""Seconds between two looks for a condition."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Result:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on standard output."""
        assert self.out, f"no answer, but: {self.err}"
        return dict(json.loads(self.out))


class NucleusProcess:
    """One nucleus root and the process that serves it; it can be killed and started again."""

    def __init__(
        self,
        directory: Path,
        configuration: Mapping[str, Any] | None = None,
        *,
        system: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self._system = system or {}
        self.root = directory / "root"
        self.paths = paths.Paths(self.root)
        self.release = recipes.Release(directory / "release")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": str(SOURCE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.program: Sequence[str] = ("-m", "verge.nucleus")
        """What the interpreter runs to serve."""
        self._process: asyncio.subprocess.Process | None = None
        self.configure(configuration or {})

    def configure(self, configuration: Mapping[str, Any]) -> None:
        """Write config.yaml; components run as the user of the tests unless told."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        nucleus = {
            "awsRegion": "eu-west-1",
            "runWithDefault": {"posixUser": user},
            "verge": {"settleSeconds": 0.3},
            **configuration,
        }
        document = {
            "system": {"thingName": "press-01", "rootPath": str(self.root), **self._system},
            "services": {"aws.greengrass.Nucleus": {"configuration": nucleus}},
        }
        self.paths.config_file.parent.mkdir(parents=True, exist_ok=True)
        self.paths.config_file.write_text(json.dumps(document))

    @property
    def pid(self) -> int:
        """The process id of the nucleus."""
        assert self._process
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> float:
        """Start the nucleus, wait until it is ready and return how long that took."""
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
            (self.directory / "stderr").open("ab") as errors,
        ):
            address = self.directory / "notify"
            address.unlink(missing_ok=True)
            ready.bind(str(address))
            ready.setblocking(False)
            began = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.program,
                "serve",
                "--root",
                str(self.root),
                env={**self.environment, "NOTIFY_SOCKET": str(address)},
                stderr=errors,
            )
            async with asyncio.timeout(PATIENCE):
                message = await asyncio.get_running_loop().sock_recv(ready, 100)
            assert message == b"READY=1"
            return time.monotonic() - began

    def send(self, number: signal.Signals) -> None:
        """Send the nucleus a signal."""
        assert self._process
        self._process.send_signal(number)

    async def stop(self) -> int:
        """Ask the nucleus to end and return its exit code."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Kill the nucleus as a power loss of its process would."""
        await self._end(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait until the nucleus has ended and return its exit code."""
        assert self._process
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    async def _end(self, number: signal.Signals) -> int:
        assert self._process
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.send(number)
        return await self.wait()

    async def clean_up(self) -> None:
        """End everything that was started on this root."""
        if self._process and self._process.returncode is None:
            await self.stop()
        left = reaper.Journal(self.paths.process_journal).leftovers()
        await reaper.end(left, grace=0)

    # Talking to it

    async def cli(self, *arguments: str) -> Result:
        """Run `verge-nucleus` with these arguments."""
        process = await self.start_process(*arguments)
        try:
            async with asyncio.timeout(PATIENCE):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
            raise AssertionError(f"no end of {arguments}: {err!r}\n{self.log()}") from None
        assert process.returncode is not None
        return Result(process.returncode, out.decode(), err.decode())

    async def start_process(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start `verge-nucleus` with these arguments; the test ends it."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "verge.nucleus",
            *arguments,
            env={**self.environment, "GGC_ROOT_PATH": str(self.root)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    def start_cli(self, *arguments: str) -> asyncio.Task[Result]:
        """Run a command beside the test; it ends with the test at the latest."""
        return asyncio.get_running_loop().create_task(self.cli(*arguments))

    async def deploy(self, *arguments: str) -> dict[str, Any]:
        """Deploy from the release directories and return the report."""
        result = await self.cli("deploy", *self.release.arguments, *arguments, "--json")
        report = result.document
        assert result.code == (1 if report["status"] == "FAILED" else 0), result
        return report

    async def submit(self, **request: Any) -> str:
        """Submit a deployment over IPC and return its id, without waiting for its end."""
        answer = await self.call(
            "CreateLocalDeployment",
            {
                "recipeDirectoryPath": str(self.release.recipes),
                "artifactsDirectoryPath": str(self.release.artifacts),
                "failureHandlingPolicy": "ROLLBACK",
                **request,
            },
        )
        return str(answer["deploymentId"])

    async def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call an IPC operation as the administrator."""
        return await asyncio.to_thread(self._call, operation, request)

    async def configure_itself(self, component: str, **values: Any) -> None:
        """Update the configuration of a component, which keeps `$SVCUID` in its file `token`."""
        token = self.work(component, "token").read_text().strip()
        request = {"keyPath": [], "timestamp": time.time(), "valueToMerge": values}
        await asyncio.to_thread(self._call, "UpdateConfiguration", request, token)

    def _call(
        self, operation: str, request: Mapping[str, Any], token: str | None = None
    ) -> dict[str, Any]:
        info = json.loads((self.paths.cli_info / f"user-{os.geteuid()}").read_text())
        with client.IpcClient(
            info["domain_socket_path"], token or info["cli_auth_token"]
        ) as connection:
            return connection.call(operation, request, PATIENCE)

    async def component(self, name: str) -> dict[str, Any]:
        """Return one component as `list` shows it; empty if there is none."""
        answer = await self.call("ListComponents", {})
        found = [c for c in answer["components"] if c["componentName"] == name]
        return dict(found[0]) if found else {}

    async def in_state(self, name: str, state: str, version: str | None = None) -> None:
        """Wait until a component is in a state."""

        async def reached() -> bool:
            found = await self.component(name)
            return found.get("state") == state and version in {None, found.get("version")}

        await self.until(reached, f"{name} {version or ''} is {state}")

    async def status(self, deployment: str) -> dict[str, Any]:
        """Return a deployment as `GetLocalDeploymentStatus` does."""
        answer = await self.call("GetLocalDeploymentStatus", {"deploymentId": deployment})
        return dict(answer["deployment"])

    async def ended(self, deployment: str) -> dict[str, Any]:
        """Wait until a deployment has ended and return it."""
        found: dict[str, Any] = {}

        async def reached() -> bool:
            found.update(await self.status(deployment))
            return found["status"] in {"SUCCEEDED", "FAILED", "CANCELED"}

        await self.until(reached, f"deployment {deployment} ends")
        return found

    async def until(
        self, reached: Callable[[], Any], what: str, patience: float = PATIENCE
    ) -> None:
        """Wait for a condition, which may be asynchronous."""
        end = time.monotonic() + patience
        while True:
            outcome = reached()
            if asyncio.iscoroutine(outcome):
                outcome = await outcome
            if outcome:
                return
            assert time.monotonic() < end, f"never happened: {what}\n{self.log()}"
            await asyncio.sleep(LOOK)

    def log(self, name: str = "greengrass") -> str:
        """Return a log."""
        file = self.paths.logs / f"{name}.log"
        return file.read_text(errors="replace") if file.is_file() else ""

    def work(self, component: str, file: str) -> Path:
        """Return a file in a component's work directory."""
        return self.paths.work(component) / file


@contextlib.asynccontextmanager
async def running_nucleus(
    *components: recipes.Component, configuration: Mapping[str, Any] | None = None
) -> AsyncIterator[NucleusProcess]:
    """Run a nucleus, with components in its release directories that are yet to be deployed.

    The root lies below the system's temporary directory, because a Unix socket's path is short.
    """
    nucleus = _prepare(components, configuration)
    try:
        await nucleus.start()
        yield nucleus
    finally:
        await nucleus.clean_up()
        shutil.rmtree(nucleus.directory, ignore_errors=True)


def _prepare(
    components: Sequence[recipes.Component], configuration: Mapping[str, Any] | None
) -> NucleusProcess:
    directory = Path(tempfile.mkdtemp(prefix="vg"))
    directory.chmod(0o755)  # components of other users pass through it
    nucleus = NucleusProcess(directory, configuration)
    nucleus.release.add(*components)
    return nucleus
