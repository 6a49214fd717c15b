"""Kills a nucleus at one write point of a deployment and looks at what the next one makes of it.

    PYTHONPATH=src:. python -m tests.support.crashing DIRECTORY SCENARIO POINT...

A process of its own, which has loaded everything and forks for every nucleus, so that hundreds of
kills take seconds. One line of JSON for every point goes to standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.support import recipes
from verge.nucleus import daemon, faults, paths, settings
from verge.nucleus.ipc import client

PRESS = "com.example.Press"
OTHER = "com.example.Other"
RESTART = 100
"""The exit code of a nucleus that wants to be started again (contract 2.7)."""

LOOK = 0.01
"""Seconds between two looks, of which the nucleus needs the processor for its work."""

ENDED = {"SUCCEEDED", "FAILED", "CANCELED"}

NEW = b"new" * 999
FOREVER = "exec sleep 100"

SCENARIOS: dict[str, tuple[list[recipes.Component], dict[str, Any]]] = {
    "upgrade": (
        [recipes.Component(PRESS, "1.1.0", run=FOREVER, artifacts={"data": NEW})],
        {"rootComponentVersionsToAdd": {PRESS: "1.1.0"}},
    ),
    "rollback": (
        [
            recipes.Component(
                PRESS, "1.1.0", lifecycle={"startup": "exit 1"}, artifacts={"data": NEW}
            )
        ],
        {"rootComponentVersionsToAdd": {PRESS: "1.1.0"}, "failureHandlingPolicy": "ROLLBACK"},
    ),
    "exchange": (
        [recipes.Component(OTHER, "1.1.0", run=FOREVER, artifacts={"data": NEW})],
        {
            "rootComponentVersionsToAdd": {OTHER: "1.1.0"},
            "rootComponentsToRemove": [PRESS],
            "componentToConfiguration": {OTHER: {"MERGE": {"rate": 5}}},
        },
    ),
    "configure": (
        [],
        {"componentToConfiguration": {PRESS: {"MERGE": {"rate": 5}}}},
    ),
    "bootstrap": (
        [
            recipes.Component(
                PRESS,
                "1.1.0",
                run=FOREVER,
                lifecycle={"bootstrap": "exit 100"},
                artifacts={"data": NEW},
            )
        ],
        {"rootComponentVersionsToAdd": {PRESS: "1.1.0"}, "failureHandlingPolicy": "ROLLBACK"},
    ),
    "archive": (
        [
            recipes.Component(
                PRESS,
                "1.1.0",
                run=FOREVER,
                dependencies={OTHER: "1.1.0"},
                artifacts={"data": NEW, "more.zip": recipes.archive({"a": b"1", "b/c": b"2"})},
                unarchive=["more.zip"],
            ),
            recipes.Component(OTHER, "1.1.0", run=FOREVER, artifacts={"data": NEW}),
        ],
        {"rootComponentVersionsToAdd": {PRESS: "1.1.0"}, "failureHandlingPolicy": "ROLLBACK"},
    ),
}
OLD = recipes.Component(
    PRESS, "1.0.0", run=FOREVER, configuration={"rate": 1}, artifacts={"data": b"old" * 999}
)


def prepare(template: Path, scenario: str) -> None:
    """Make a root on which the old version is deployed, and the release of the new one."""
    where = paths.Paths(template / "root")
    where.config_file.parent.mkdir(parents=True)
    configuration = {
        "runWithDefault": {"posixUser": str(os.geteuid())},
        "verge": {"settleSeconds": 0.05, "keepVersions": 1},
    }
    where.config_file.write_text(
        json.dumps({"services": {settings.NUCLEUS: {"configuration": configuration}}})
    )
    release = recipes.Release(template / "release").add(OLD)
    status = fork(template, lambda: serve(template, {"rootComponentVersionsToAdd": {PRESS: "*"}}))
    if status != 0:
        raise SystemExit(f"cannot prepare {template}: {status}")
    release.add(*SCENARIOS[scenario][0])


def fork(directory: Path, work: Any) -> int:
    """Run work in a child; return its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            with (directory / "errors").open("ab", buffering=0) as errors:
                os.dup2(errors.fileno(), 2)
                os._exit(work())
        finally:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def serve(directory: Path, request: dict[str, Any] | None, point: int = 0) -> int:
    """Serve; submit the request or take up what is there; end when all is settled."""
    where = paths.Paths(directory / "root")

    async def main() -> int:
        stop = daemon.Stop()
        ready = asyncio.Event()
        serving = asyncio.create_task(
            daemon.serve(settings.load(where.root), stop=stop, ready=ready.set)
        )
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            return await serving or 71
        if point:
            faults.arm(point)
        async with asyncio.timeout(20):
            settling = asyncio.create_task(asyncio.to_thread(settle, where, directory, request))
            await asyncio.wait({serving, settling}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():  # the deployment asks for a restart
                await asyncio.gather(settling, return_exceptions=True)
                return await serving
        faults.arm(0)
        (directory / "found.json").write_text(json.dumps(await settling))
        stop.request()
        return await serving

    return asyncio.run(main())


def settle(where: paths.Paths, directory: Path, request: dict[str, Any] | None) -> dict[str, Any]:
    """Return the deployments and components once nothing changes any more."""
    info = json.loads((where.cli_info / f"user-{os.geteuid()}").read_text())
    with client.IpcClient(info["domain_socket_path"], info["cli_auth_token"]) as nucleus:
        if request is not None:
            release = recipes.Release(directory / "release")
            nucleus.call(
                "CreateLocalDeployment",
                {
                    "recipeDirectoryPath": str(release.recipes),
                    "artifactsDirectoryPath": str(release.artifacts),
                    **request,
                },
            )
        while True:
            deployments = nucleus.call("ListLocalDeployments", {})["localDeployments"]
            components = nucleus.call("ListComponents", {})["components"]
            moving = [c for c in components if c["state"] not in {"RUNNING", "FINISHED", "BROKEN"}]
            if not moving and all(d["status"] in ENDED for d in deployments):
                break
            time.sleep(LOOK)
    return {
        "statuses": [d["status"] for d in deployments],
        "components": {
            c["componentName"]: [c["version"], c["state"]]
            for c in components
            if c["componentName"] != settings.NUCLEUS
        },
        "rates": {
            c["componentName"]: c["configuration"]["rate"]
            for c in components
            if "rate" in c["configuration"]
        },
    }


def run(template: Path, directory: Path, scenario: str, point: int) -> dict[str, Any]:
    """Kill at one point, start again and return what is found."""
    shutil.copytree(template, directory, symlinks=True)
    request = SCENARIOS[scenario][1]
    killed = fork(directory, lambda: serve(directory, request, point))
    ended = RESTART
    while ended == RESTART:
        ended = fork(directory, lambda: serve(directory, None))
    where = paths.Paths(directory / "root")
    found = json.loads((directory / "found.json").read_text()) if ended == 0 else {}
    report = {
        "point": point,
        "killed": killed == -signal.SIGKILL,
        "restart": ended,
        "errors": (directory / "errors").read_text()[-2000:],
        **found,
        "data": {
            name: (where.artifacts(name, version) / "data").read_bytes()[:3].decode()
            for name, (version, _) in found.get("components", {}).items()
        },
        "staging": len(list(where.staging.iterdir())),
        "contents": len([d for c in where.contents.iterdir() for d in c.iterdir()]),
    }
    shutil.rmtree(directory)
    return report


def main() -> None:
    """Run the points that were asked for; stop after the first at which nothing was killed."""
    top, scenario = Path(sys.argv[1]), sys.argv[2]
    prepare(top / "template", scenario)
    for point in map(int, sys.argv[3:]):
        report = run(top / "template", top / "run", scenario, point)
        print(json.dumps(report), flush=True)
        if not report["killed"]:
            return


if __name__ == "__main__":
    main()
