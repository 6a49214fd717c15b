"""The nucleus as a whole: start, memory, deployment, rollback, many components, and IPC.

    PYTHONPATH=src:. python tests/bench/bench_nucleus.py [--no-ipc] [--json]

Each figure stands beside its goal and, where that says something, beside what a bare Python process
costs on the same machine in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import bench_ipc
from tests.support import nucleus as nuclei
from tests.support import recipes
from verge.nucleus import paths, settings
from verge.nucleus.deployment import resolution, sources, target
from verge.nucleus.ipc import host
from verge.nucleus.store import packages, state
from verge.recipe import versions

PRESS = "com.example.Press"
IDLE = "exec sleep 100000"
ROUNDS = 5
COMPONENTS = 1000
IDLE_COMPONENTS = 100
IDLE_SECONDS = 10.0
ARTIFACT = os.urandom(5_000_000)

FLOOR = "import asyncio, sqlite3, msgspec"
SHIPPED: dict[str, object] = {"verge": {}}
"""The settings as they are shipped, the settle time included."""


@dataclass(frozen=True)
class Figure:
    """One measured value, its goal and what it stands beside."""

    what: str
    value: float
    unit: str
    goal: float
    beside: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def version(number: int, run: str = IDLE) -> recipes.Component:
    """Return a version of the component that is deployed, with an artifact of its own."""
    content = ARTIFACT + bytes([number])
    return recipes.Component(PRESS, f"1.{number}.0", run=run, artifacts={"data": content})


def pss(pid: int) -> float:
    """Return the proportional set size of a process in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1000
    raise AssertionError("the kernel tells no Pss")


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bare_memory() -> float:
    """Return the size in MB of an interpreter that has loaded what every daemon needs."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{FLOOR}; print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as bare:
        assert bare.stdout
        bare.stdout.readline()
        found = pss(bare.pid)
        bare.communicate(b"\n")
    return found


async def measure_start() -> list[Figure]:
    """Start to IPC ready, and memory with four idle components."""
    idle = [recipes.Component(f"com.example.Idle{n}", run=IDLE) for n in range(4)]
    async with nuclei.running_nucleus(*idle) as nucleus:
        await nucleus.deploy(*(word for each in idle for word in ("--merge", each.name)))
        times, floors = [], []
        for _ in range(ROUNDS):
            await nucleus.stop()
            began = time.monotonic()
            await asyncio.to_thread(subprocess.run, [sys.executable, "-c", FLOOR], check=True)
            floors.append(time.monotonic() - began)
            times.append(await nucleus.start())
        for each in idle:
            await nucleus.in_state(each.name, "RUNNING")
        memory = pss(nucleus.pid)
        floor = await asyncio.to_thread(bare_memory)
    start, imports = statistics.median(times), statistics.median(floors)
    return [
        Figure("start to IPC ready", start, "s", 0.6, f"interpreter and imports {imports:.3f} s"),
        Figure("PSS, four idle components", memory, "MB", 35, f"bare interpreter {floor:.1f} MB"),
    ]


async def measure_deployment() -> list[Figure]:
    """A changed component, a failure that is rolled back, and a return to the former version."""
    async with nuclei.running_nucleus(version(0), configuration=SHIPPED) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        changed, rolled_back, returned, copied_back = [], [], [], 0
        for number in range(1, 2 * ROUNDS, 2):
            nucleus.release.add(version(number))
            changed.append(await timed(nucleus, "--merge", PRESS, status="SUCCEEDED"))
            nucleus.release.add(version(number + 1, run="exit 1"))
            rolled_back.append(await timed(nucleus, "--merge", PRESS, status="FAILED"))
            new = len(ARTIFACT) + 1
            copied_back = max(copied_back, await copied(nucleus) - new)
            (nucleus.release.recipes / f"{PRESS}-1.{number + 1}.0.yaml").unlink()
        nucleus.release.add(version(99))
        await nucleus.deploy("--merge", PRESS)
        began = time.monotonic()
        store = await nucleus.cli("deploy", "--merge", f"{PRESS}=1.{number}.0", "--json")
        returned.append(time.monotonic() - began)
        assert store.document["status"] == "SUCCEEDED", store
        copied_back += await copied(nucleus)
    return [
        Figure("deployment of a changed component", statistics.median(changed), "s", 3.0, SETTLED),
        Figure("failed deployment, rolled back", statistics.median(rolled_back), "s", 5.0, SETTLED),
        Figure("return to the former version", returned[0], "s", 5.0, SETTLED),
        Figure("bytes copied by rollback and return", copied_back, "B", 0),
    ]


SETTLED = f"settle time {settings.SETTLE:g} s"


async def timed(nucleus: nuclei.NucleusProcess, *arguments: str, status: str) -> float:
    """Return how long the command `deploy` takes to its end."""
    began = time.monotonic()
    report = await nucleus.deploy(*arguments)
    assert report["status"] == status, report
    return time.monotonic() - began


async def copied(nucleus: nuclei.NucleusProcess) -> int:
    """Return the bytes that the newest deployment copied."""
    newest = (await nucleus.call("ListLocalDeployments", {}))["localDeployments"][0]
    file = nucleus.paths.deployments / newest["deploymentId"] / "deployment_metadata.json"
    return int(json.loads(file.read_text())["bytes_copied"])


def measure_resolution() -> list[Figure]:
    """A store of 1,000 components in which everything depends on everything below."""
    with tempfile.TemporaryDirectory() as folder:
        configured = settings.Settings(paths.Paths(Path(folder) / "root"))
        configured.paths.create()
        release = recipes.Release(Path(folder))
        for number in range(COMPONENTS):
            below = range(number + 1, min(number + 4, COMPONENTS))
            needs = {f"com.example.C{n}": ">=1.0.0 <2.0.0" for n in below}
            release.add(recipes.Component(f"com.example.C{number}", run=IDLE, dependencies=needs))
        request = host.LocalDeployment(
            recipe_directory=str(release.recipes), roots_to_add={"com.example.C0": "*"}
        )
        began = time.monotonic()
        found = sources.read_directory(release.recipes)
        read = time.monotonic() - began
        catalogue = sources.Catalogue(found, state.DeviceState(), {}, configured.paths)
        began = time.monotonic()
        resolved = resolution.resolve(
            resolution.Request(
                {"g": {"com.example.C0": "*"}}, catalogue.candidates, {}, target.BUILT_IN
            )
        )
        alone = time.monotonic() - began
        assert len(resolved) == COMPONENTS
        assert set(resolved.values()) == {versions.Version.parse("1.0.0")}
        selector = target.Selector(configured, packages.PackageStore(configured))
        began = time.monotonic()
        selector.select(request, state.DeviceState(), {}, 0.0)
        whole = time.monotonic() - began
    what = f"{COMPONENTS} components resolved"
    return [Figure(what, alone, "s", 1.0, f"reading the recipes {read:.2f} s, plan {whole:.2f} s")]


async def measure_idle() -> list[Figure]:
    """The processor time of a nucleus whose components do nothing."""
    idle = [recipes.Component(f"com.example.Idle{n}", run=IDLE) for n in range(IDLE_COMPONENTS)]
    async with nuclei.running_nucleus(*idle) as nucleus:
        await nucleus.deploy(*(word for each in idle for word in ("--merge", each.name)))
        before = cpu_seconds(nucleus.pid)
        await asyncio.sleep(IDLE_SECONDS)
        share = (cpu_seconds(nucleus.pid) - before) / IDLE_SECONDS * 100
        memory = pss(nucleus.pid)
    what = f"{IDLE_COMPONENTS} idle components"
    return [Figure(what, share, "% of a core", 1.0, f"PSS {memory:.1f} MB")]


def measure_ipc() -> list[Figure]:
    """Publish to subscriber, beside the floors of bench_ipc."""
    found = bench_ipc.measure(1500, 1)
    floor, ours = found["floor"], found["verge"]
    ratio = ours["p50_ms"] / floor["p50_ms"]
    cpu = f"CPU of a message: nucleus {ours['server_us']:.0f} us, clients {ours['clients_us']:.0f}"
    return [
        Figure("IPC p50", ours["p50_ms"], "ms", 0.4, _floors(found, "p50_ms")),
        Figure("IPC p50 over the floor", ratio, "times", 1.5),
        Figure("IPC p99", ours["p99_ms"], "ms", 1.0, _floors(found, "p99_ms")),
        Figure(
            f"IPC messages, {bench_ipc.IN_FLIGHT} in flight",
            ours["per_s"],
            "/s",
            4000,
            f"{_floors(found, 'per_s')}; {cpu}",
            at_least=True,
        ),
    ]


def _floors(found: dict[str, dict[str, float]], figure: str) -> str:
    native = f"{found['native'][figure]:.4g}" if "native" in found else "not measured: no cc"
    return f"floor {found['floor'][figure]:.4g}, in native code {native}"


def show(figures: Sequence[Figure]) -> None:
    """Print figures as they are measured."""
    for each in figures:
        sign = "≥" if each.at_least else "≤"
        goal = f"goal {sign} {each.goal:g}" + ("" if each.met else " MISSED")
        print(f"{each.what:38}{each.value:10.3f} {each.unit:12}{goal:20}{each.beside}", flush=True)


def main() -> int:
    """Measure, print, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--no-ipc", action="store_true", help="leave the IPC part out")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    # As an installation does; a nucleus that compiles itself takes twice as long to start.
    compileall.compile_dir(nuclei.SOURCE, quiet=1)
    found: list[Figure] = []
    parts = [
        lambda: asyncio.run(measure_start()),
        lambda: asyncio.run(measure_deployment()),
        measure_resolution,
        lambda: asyncio.run(measure_idle()),
        *([] if options.no_ipc else [measure_ipc]),
    ]
    for part in parts:
        figures = part()
        found += figures
        if not options.json:
            show(figures)
    if options.json:
        print(json.dumps([{**vars(each), "met": each.met} for each in found]))
    return int(not all(each.met for each in found))


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.exit(main())
