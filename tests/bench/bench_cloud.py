"""The local cloud under a fleet: one group deployment to many devices, and pages of the fleet.

    PYTHONPATH=src:. python tests/bench/bench_cloud.py [--devices 2000] [--json]

The devices are protocol-level clients in one process beside the cloud: MQTT with mutual TLS, jobs,
the data plane with mutual TLS, status reports. They share the cloud's cores, and run where it and
the reader of pages leave them room: in a fleet they are machines of their own. Making their
certificates is no part of what is measured, so they share keys; each has a certificate of its own.

Pages of the fleet are read by a process of its own three times: while the devices deploy, while all
of them report their status again and again, and when they are quiet. A page is the whole call of
boto3, which signs and parses for some 8 ms; the wait for the cloud's answer alone stands below it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support import core_devices, running_cloud

DEVICES = 2000
PATIENCE = 300.0
REPORTS = 3
"""How many times every device reports while pages are read."""
QUIET_SECONDS = 10.0
"""How long pages are read while nothing else happens."""
READING_PAUSE = 0.05
"""Seconds between two pages; a reader without pauses would measure itself."""
PAGE = 100
PAGE_GOAL = 50.0
CONNECTING = 100
"""Devices that shake hands at once; a real fleet does not begin in the same second."""


@dataclass(frozen=True)
class Figure:
    """One measured value and its goal, if it has one; a value is met if it is not larger."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    beside: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.goal is None or self.value <= self.goal


async def measure(number: int, *, data_plane: bool = True, yielding: bool = False) -> list[Figure]:
    """Let a fleet take one deployment; return the figures.

    With `yielding` the devices, and so this thread from now on, run at a low priority.
    """
    _allow_files()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with running_cloud.running(directory / "cloud") as cloud, PageReader(cloud) as reader:
            if yielding:
                _yield_processor()  # not earlier: a process inherits it
            print(f"* Registering {number} devices", file=sys.stderr, flush=True)
            began = time.monotonic()
            fleet = await asyncio.to_thread(core_devices.Fleet, cloud, directory, "line")
            names = [f"press-{n:05}" for n in range(number)]
            identities = await asyncio.to_thread(fleet.add, names)
            await asyncio.to_thread(fleet.publish)
            registered = time.monotonic() - began
            devices = [
                core_devices.CoreDevice(cloud, each, data_plane=data_plane) for each in identities
            ]
            print("* Connecting them", file=sys.stderr, flush=True)
            began = time.monotonic()
            await _connect(devices)
            connected = time.monotonic() - began
            try:
                figures = await _read_while(fleet, devices, cloud, reader)
                memory = cloud.rss() / 1e6
            finally:
                await asyncio.gather(*(each.cut() for each in devices))
    return [
        *figures,
        Figure("resident memory of the cloud process", memory, "MB"),
        Figure("before: things, certificates and groups made", registered, "s"),
        Figure("before: all devices connected and subscribed", connected, "s"),
    ]


async def _read_while(
    fleet: core_devices.Fleet,
    devices: Sequence[core_devices.CoreDevice],
    cloud: running_cloud.RunningCloud,
    reader: PageReader,
) -> list[Figure]:
    """Deploy, let all report, and read pages of the fleet meanwhile and afterwards."""
    print("* Deploying to their group", file=sys.stderr, flush=True)
    with reader.reading() as deploying:
        figures = await _deploy(fleet, devices, cloud)
    print("* Letting all of them report", file=sys.stderr, flush=True)
    with reader.reading() as reporting:
        began = time.monotonic()
        for _ in range(REPORTS):
            await asyncio.gather(*(each.report_again() for each in devices))
        rate = REPORTS * len(devices) / (time.monotonic() - began)
    with reader.reading() as quiet:
        await asyncio.sleep(QUIET_SECONDS)
    return [
        *figures,
        Figure(f"status reports of {len(devices)} devices, {REPORTS} each", rate, "/s"),
        *_page_figures("while they deploy", deploying),
        *_page_figures("while all report", reporting),
        *_page_figures("quiet", quiet),
    ]


@dataclass(frozen=True)
class Page:
    """One page as its reader had it; all in ms (see page_reader)."""

    call: float
    answer: float
    starved: float


def _page_figures(when: str, pages: Sequence[Page]) -> list[Figure]:
    name = f"ListCoreDevices, {PAGE} a page, {when}"
    calls = [each.call for each in pages]
    spread = f"least {min(calls):.1f}, 95 of 100 {_percentile(calls, 95):.1f}, pages {len(calls)}"
    slowest = max(pages, key=lambda each: each.call)
    unstarved = max(each.call - each.starved for each in pages)
    of_it = (
        f"of it {slowest.starved:.1f} the client waited for a core; slowest without {unstarved:.1f}"
    )
    return [
        Figure(f"{name}: median", statistics.median(calls), "ms", PAGE_GOAL, spread),
        Figure(f"{name}: slowest", slowest.call, "ms", PAGE_GOAL, of_it),
        Figure(f"{name}: slowest answer", max(each.answer for each in pages), "ms", PAGE_GOAL),
    ]


class PageReader:
    """The process that reads pages; a context manager."""

    def __init__(self, cloud: running_cloud.RunningCloud) -> None:
        where = (cloud.endpoints.api, cloud.endpoints.region, str(READING_PAUSE))
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("page_reader.py")), *where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._next_line() == "ready\n", "the reader of pages does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("")

    @contextlib.contextmanager
    def reading(self) -> Iterator[list[Page]]:
        """Read pages; they are in the list after the block."""
        pages: list[Page] = []
        self._say()
        try:
            yield pages
        finally:
            self._say()
            pages.extend(Page(*page) for page in json.loads(self._next_line()))

    def _say(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _next_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _yield_processor() -> None:
    """Let this thread, which is all of the devices, run only where cloud and reader leave it room.

    A low priority is not enough: once it has a core it keeps that for some milliseconds.
    """
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


async def _connect(devices: Sequence[core_devices.CoreDevice]) -> None:
    for start in range(0, len(devices), CONNECTING):
        some = devices[start : start + CONNECTING]
        for device in some:
            device.start()
        async with asyncio.timeout(PATIENCE):
            await core_devices.all_connected(some)


async def _deploy(
    fleet: core_devices.Fleet,
    devices: Sequence[core_devices.CoreDevice],
    cloud: running_cloud.RunningCloud,
) -> list[Figure]:
    before = _cpu_seconds(cloud.process.pid)
    began = time.monotonic()
    job_id = (await asyncio.to_thread(fleet.deploy))["iotJobId"]
    created = time.monotonic() - began
    done: set[str] = set()
    while len(done) < len(devices) and time.monotonic() - began < PATIENCE:
        await asyncio.sleep(0.25)
        if all(each.deployed for each in devices):
            succeeded = await asyncio.to_thread(fleet.statuses, job_id)
            reported = await asyncio.to_thread(fleet.core_devices)
            done = {
                thing
                for thing, status in succeeded.items()
                if status == "SUCCEEDED" and reported.get(thing) == "HEALTHY"
            }
    took = time.monotonic() - began
    lost = len(devices) - len(done)
    twice = sum(len(each.deployed) > 1 for each in devices)
    used = _cpu_seconds(cloud.process.pid) - before
    failures = sum(len(each.errors) for each in devices)
    return [
        Figure(
            f"group deployment to {len(devices)} devices, all reported",
            took,
            "s",
            120,
            f"CreateDeployment answered after {created:.2f} s, cloud used {used:.1f} s of a core",
        ),
        Figure("devices lost", lost, "", 0),
        Figure("devices that deployed twice", twice, "", 0),
        Figure("errors that devices met and overcame", failures, ""),
    ]


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[(len(values) - 1) * percent // 100]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _allow_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    for each in figures:
        goal = "" if each.goal is None else f"goal ≤ {each.goal:g}"
        goal += "" if each.met else "  MISSED"
        print(f"{each.what:64}{each.value:9.1f} {each.unit:4}{goal:18}{each.beside}", flush=True)


def main() -> int:
    """Measure, print, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=DEVICES, help="default: %(default)s")
    parser.add_argument("--no-data-plane", action="store_true", help="jobs and status only")
    parser.add_argument(
        "--no-yielding", action="store_true", help="devices at the priority of the cloud"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)  # lost connections tell in the table
    measuring = measure(
        options.devices, data_plane=not options.no_data_plane, yielding=not options.no_yielding
    )
    figures = asyncio.run(measuring)
    if options.json:
        print(json.dumps([{**vars(each), "met": each.met} for each in figures]))
    else:
        show(figures)
    return int(not all(each.met for each in figures))


if __name__ == "__main__":
    sys.exit(main())
