"""The detection line: overhead of an event, sustained rate, large JPEGs; on a host or a device.

    PYTHONPATH=src:. python tests/bench/bench_detect.py [--device press-01] [--pictures 1000]

A nucleus of its own runs the components on this machine; then a device that `./inv up` made is
measured over SSH, if one answers. With `--device` only that one is. Each figure stands beside what
a bare loop of decode and `session.run` does with the same threads, on the same machine, in turns in
the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests.bench.bench_nucleus import Figure, show
from tests.integration.components import line as lines

SSH_CONFIG = lines.ROOT / ".verge" / "ssh" / "config"
NUCLEUS_PYTHON = "/opt/verge/nucleus/bin/python"
"""Where role `greengrass` installs the nucleus."""
DRIVER = Path(__file__).with_name("detect_driver.py")
LARGE = (4000, 3000)
"""12 megapixels."""
ROUNDS = 3


@dataclass(frozen=True)
class Place:
    """Where the line runs, and how to run the driver there."""

    command: Sequence[str]
    """Starts the Python of the nucleus, which is to read its program from standard input."""
    runtime: Sequence[str]
    """The same with the detector's sources and libraries."""
    root: str
    """Of the nucleus."""
    inbox: str
    card: str
    folder: str
    """Where pictures to feed lie."""

    def drive(self, source: str, count: int, *more: str) -> Any:
        """Feed the line with a picture, so many times."""
        arguments = ["--root", self.root, "--inbox", self.inbox, "--source", source]
        return _run([*self.command, "-", "line", *arguments, "--count", str(count), *more])

    def bare(self, source: str, count: int) -> list[float]:
        """Return the seconds of the bare loop for each picture."""
        arguments = ["bare", "--card", self.card, "--source", source, "--count", str(count)]
        found: list[float] = _run([*self.runtime, "-", *arguments])
        return found


def _run(command: Sequence[str]) -> Any:
    with DRIVER.open("rb") as program:
        done = subprocess.run(command, stdin=program, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"cannot measure: {done.stderr.decode().strip()}")
    return json.loads(done.stdout)


def make_pictures(folder: Path) -> tuple[Path, Path]:
    """Make a camera's usual picture and one of 12 megapixels."""
    with Image.open(lines.PICTURES / "astronaut.png") as source:
        colours = source.convert("RGB")
    usual, large = folder / "usual.jpg", folder / "large.jpg"
    colours.save(usual, quality=90)
    colours.resize(LARGE).save(large, quality=90)
    return usual, large


@contextlib.asynccontextmanager
async def on_this_machine() -> AsyncIterator[Place]:
    """Run the line with a nucleus of its own."""
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder))
        async with lines.running_line(annotate="false", keepResults="100000") as line:
            source = lines.COMPONENTS / lines.DETECTOR / "src"
            yield Place(
                command=[sys.executable],
                runtime=["env", f"PYTHONPATH={source}", sys.executable],
                root=str(line.nucleus.root),
                inbox=str(line.pictures),
                card=str(line.nucleus.root / "work" / lines.MODEL / "current" / "model.yaml"),
                folder=folder,
            )


@contextlib.asynccontextmanager
async def on_device(name: str) -> AsyncIterator[Place]:
    """Use a device of the fleet that runs."""
    ssh = ssh_to(name)
    place = await asyncio.to_thread(_prepare_device, ssh)
    try:
        yield place
    finally:
        await asyncio.to_thread(subprocess.run, [*ssh, f"rm -rf {place.folder}"], check=False)


def _prepare_device(ssh: Sequence[str]) -> Place:
    """Find the detector on a device and bring pictures there."""
    root = "/greengrass/v2"
    find = f"ls -d {root}/packages/artifacts-unarchived/{lines.DETECTOR}/*/{lines.DETECTOR}/src"
    found = subprocess.run(
        [*ssh, f"sudo sh -c '{find} | sort -V | tail -1'; mktemp -d"],
        capture_output=True,
        text=True,
        check=True,
    )
    source, folder = found.stdout.split()
    with tempfile.TemporaryDirectory() as made:
        for path in make_pictures(Path(made)):
            with path.open("rb") as file:
                subprocess.run(
                    [*ssh, f"cat > {folder}/{path.name}; chmod -R a+rX {folder}"],
                    stdin=file,
                    check=True,
                )
    python = f"{root}/work/{lines.RUNTIME}/current/bin/python"
    return Place(
        command=[*ssh, "sudo", NUCLEUS_PYTHON],
        runtime=[*ssh, "sudo", "env", f"PYTHONPATH={source}", python],
        root=root,
        inbox="/var/lib/verge/pictures",
        card=f"{root}/work/{lines.MODEL}/current/model.yaml",
        folder=folder,
    )


def measure_overhead(place: Place, count: int) -> list[Figure]:
    """From a closed file to its result, minus decode and inference of the same picture."""
    source = f"{place.folder}/usual.jpg"
    place.drive(source, 20)
    events, bare = [], []
    for _ in range(ROUNDS):
        bare += place.bare(source, 30)
        events += place.drive(source, max(1, count // ROUNDS))
    overhead = sorted(_overhead(event) for event in events)
    beside = f"bare decode and inference {statistics.median(bare) * 1000:.1f} ms"
    whole = statistics.median(event["seconds"] for event in events) * 1000
    return [
        Figure("file closed to result, overhead p50", _at(overhead, 0.5), "ms", 5, beside),
        Figure(
            *("file closed to result, overhead p99", _at(overhead, 0.99), "ms", 20),
            f"whole event p50 {whole:.1f} ms",
        ),
    ]


def _overhead(event: dict[str, Any]) -> float:
    return float(
        event["seconds"] * 1000 - event["timings"]["decode"] - event["timings"]["inference"]
    )


def _at(values: Sequence[float], fraction: float) -> float:
    return values[min(len(values) - 1, int(len(values) * fraction))]


def measure_rate(place: Place, name: str, count: int, goal: float) -> Figure:
    """Pictures a second in a backlog, as a part of what the bare loop does."""
    source = f"{place.folder}/{name}.jpg"
    rates, floors = [], []
    for _ in range(ROUNDS):
        floors.append(1 / statistics.mean(place.bare(source, max(10, count // 4))))
        rates.append(count / place.drive(source, count, "--burst"))
    rate, floor = statistics.median(rates), statistics.median(floors)
    return Figure(
        *(f"sustained rate, {name} pictures", rate / floor, "of bare", goal),
        f"{rate:.1f} of {floor:.1f} pictures/s",
        at_least=True,
    )


async def measure(device: str | None, count: int) -> list[Figure]:
    """Measure all on one line."""
    async with on_device(device) if device else on_this_machine() as place:
        figures = await asyncio.to_thread(measure_overhead, place, count)
        figures.append(await asyncio.to_thread(measure_rate, place, "usual", count // 3, 0.95))
        figures.append(await asyncio.to_thread(measure_rate, place, "large", 40, 1.5))
    return figures


def find_device() -> str | None:
    """Return the first device of the fleet that answers."""
    if not SSH_CONFIG.is_file():
        return None
    words = [line.split() for line in SSH_CONFIG.read_text(encoding="utf-8").splitlines()]
    for name in (name for word in words if word[:1] == ["Host"] for name in word[1:]):
        if (
            subprocess.run([*ssh_to(name), "true"], capture_output=True, check=False).returncode
            == 0
        ):
            return name
    return None


def ssh_to(device: str) -> list[str]:
    """Return the start of a command that runs on a device."""
    return ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-F", str(SSH_CONFIG), device]


def main() -> int:
    """Measure, print, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", help="measure only this device of the fleet that runs")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=sys.stderr)
    places = [options.device] if options.device else [None, find_device()]
    found: dict[str, list[Figure]] = {}
    for device in dict.fromkeys(places):
        name = device or "this machine"
        found[name] = asyncio.run(measure(device, options.pictures))
        if not options.json:
            print(f"On {name}:")
            show(found[name])
    if options.json:
        shown = {
            name: [{**vars(each), "met": each.met} for each in figures]
            for name, figures in found.items()
        }
        print(json.dumps(shown))
    elif len(found) == 1 and not options.device:
        print("Not measured on a device: none answers; `./inv up` makes some")
    return int(not all(each.met for figures in found.values() for each in figures))


if __name__ == "__main__":
    sys.exit(main())
