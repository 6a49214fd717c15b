"""A large artifact on its way: published, refused with a flipped byte, broken off, resumed.

    PYTHONPATH=src:. python tests/bench/bench_artifact.py [--mib 2048] [--json]

`inv publish`'s code, the local cloud and a nucleus are processes of their own, and the peak of the
memory of each is measured (VmHWM). The artifact lies on the disk four times: built, in the cloud,
and twice on the device while it is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.bench_cloud import Figure, show
from tests.support import cloud_site, running_cloud
from tests.unit.fleet import samples
from verge.fleet import project

MIB = 1024 * 1024
SIZE = 2048
PATIENCE = 600.0
NAME, THING, GROUP = "com.example.Big", "press-01", "line"
PUBLISHER_GOAL = 150.0
"""MB of a whole process with boto3 in it; a part of the upload has 16 MiB."""
GROWTH_GOAL = 64.0
"""MB by which a process that serves or fetches may grow."""

# Every block is another, so that no part can stand for another one.
BUILD = """
import os
from pathlib import Path
block = os.urandom({mib})
with Path("greengrass-build/artifacts/{name}/NEXT_PATCH/model.bin").open("wb") as file:
    for number in range({count}):
        file.write(number.to_bytes(8, "big") + block[8:])
Path("greengrass-build/recipes/recipe.yaml").write_text(Path("recipe.yaml").read_text())
"""

PUBLISH = """
import sys
from pathlib import Path
from verge.fleet import aws, output, project, publish
account = aws.Account(aws.Access("eu-west-1", sys.argv[2], "AKIAEXAMPLEEXAMPLE00", "s" * 40))
where = project.Project(Path(sys.argv[1]))
for item in publish.publish_components(
    where, account, bucket=sys.argv[3], reporter=output.Reporter()
):
    print(item.outcome, item.version)
print(next(s for s in open("/proc/self/status") if s.startswith("VmHWM")).split()[1])
"""


async def measure(mib: int) -> list[Figure]:
    """Bring one artifact from a checkout to a device; return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with cloud_site.running_site(directory) as site:
            before = _peak(site.cloud.process.pid)
            seconds, publisher = await asyncio.to_thread(_publish, site, directory, mib)
            figures = [
                Figure(f"publish {mib} MiB, build included", seconds, "s"),
                Figure("peak memory of the publisher", publisher, "MB", PUBLISHER_GOAL),
            ]
            async with cloud_site.device(site, THING) as device:
                site.group(GROUP, THING)
                await device.linked()
                figures += await _refuse(site, device)
                figures += await _resume(device, mib)
            grown = _peak(site.cloud.process.pid) - before
            figures.append(Figure("growth of the cloud, peak", grown, "MB", GROWTH_GOAL))
    return figures


def _publish(site: cloud_site.Site, directory: Path, mib: int) -> tuple[float, float]:
    """Build and publish; return how long it took and the publisher's peak."""
    print(f"* Building and publishing {mib} MiB", file=sys.stderr, flush=True)
    where: project.Project = samples.make_project(directory / "checkout")
    script = BUILD.format(name=NAME, mib=MIB, count=mib)
    component = samples.add_custom(where, script, NAME, archive="model.bin")
    recipe = component / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("        Unarchive: ZIP\n", ""))
    began = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-c", PUBLISH),
            *(str(where.root), site.cloud.endpoints.api, cloud_site.BUCKET),
        ],
        env={"PYTHONPATH": str(running_cloud.REPOSITORY / "src"), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    outcome, peak = done.stdout.splitlines()
    assert outcome == "published 1.0.0", outcome
    return time.monotonic() - began, int(peak) * 1024 / 1e6


async def _refuse(site: cloud_site.Site, device: cloud_site.Device) -> list[Figure]:
    """Flip one byte of what the cloud keeps, and let the device refuse it."""
    print("* Deploying it with a flipped byte", file=sys.stderr, flush=True)
    flipped = _flip(site.cloud.state)
    before = _peak(device.nucleus.pid)
    ended = await device.ended(_deploy(site), PATIENCE)
    _flip_back(*flipped)
    named = (
        ended["coreDeviceExecutionStatus"] == "FAILED" and "cannot use model.bin" in ended["reason"]
    )
    grown = _peak(device.nucleus.pid) - before
    return [
        Figure("a flipped byte that was not refused by name", float(not named), "", 0),
        Figure("growth of the nucleus that refused it, peak", grown, "MB", GROWTH_GOAL),
    ]


async def _resume(device: cloud_site.Device, mib: int) -> list[Figure]:
    """Kill the nucleus in the middle of the download, and let it go on."""
    print("* Deploying it, with a kill in the middle", file=sys.stderr, flush=True)
    size, passed = mib * MIB, device.https.passed
    before = _peak(device.nucleus.pid)
    deployment = _deploy(device.site)
    began = time.monotonic()
    await device.until(lambda: _came(device) > size / 2, "half of the download", PATIENCE)
    grown = _peak(device.nucleus.pid) - before
    await device.nucleus.kill()
    kept = _came(device)
    await device.nucleus.start()
    before = _peak(device.nucleus.pid)
    ended = await device.ended(deployment, PATIENCE)
    took = time.monotonic() - began
    assert ended["coreDeviceExecutionStatus"] == "SUCCEEDED", ended
    grown = max(grown, _peak(device.nucleus.pid) - before)
    excess = (device.https.passed - passed - size) / 1e6
    return [
        Figure(f"deploy {mib} MiB, killed after {kept / 1e6:.0f} MB", took, "s"),
        Figure("fetched beyond the size of the artifact", excess, "MB", size / 1e7),
        Figure("growth of the nucleus, peak", grown, "MB", GROWTH_GOAL),
    ]


def _deploy(site: cloud_site.Site) -> str:
    return site.deploy(GROUP, {NAME: "1.0.0"})


def _came(device: cloud_site.Device) -> int:
    downloads = device.nucleus.paths.downloads
    return sum(f.stat().st_size for f in downloads.iterdir()) if downloads.is_dir() else 0


def _flip(state: Path) -> tuple[Path, int]:
    """Change one byte in the middle of the largest file that the cloud keeps."""
    largest = max((f for f in state.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    place = largest.stat().st_size // 2
    _flip_back(largest, place)
    return largest, place


def _flip_back(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def _peak(pid: int) -> float:
    """Return the most memory a process ever held, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return (
        int(next(s for s in status.splitlines() if s.startswith("VmHWM")).split()[1]) * 1024 / 1e6
    )


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mib", type=int, default=SIZE, help="size (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(words)
    figures = asyncio.run(measure(options.mib))
    if options.json:
        document: list[dict[str, Any]] = [{**vars(each), "met": each.met} for each in figures]
        print(json.dumps(document))
    else:
        show(figures)
    return int(not all(each.met for each in figures))


if __name__ == "__main__":
    sys.exit(main())
