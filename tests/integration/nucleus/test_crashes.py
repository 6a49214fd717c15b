"""A nucleus killed at every point at which a deployment writes.

Every point of every scenario is tried once, which is more than 200 kills; `VERGE_CRASH_ROUNDS`
repeats all of it.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import crashing
from tests.support import nucleus as nuclei

ROOT = Path(__file__).parents[3]
ROUNDS = int(os.environ.get("VERGE_CRASH_ROUNDS", "1"))
MOST_POINTS = 200
SIDE_BY_SIDE = 4
"""Processes that share the points of a scenario; each spends its time on waiting."""

OLD = {"components": {crashing.PRESS: ["1.0.0", "RUNNING"]}, "rates": {crashing.PRESS: 1}}
UPGRADED = {"components": {crashing.PRESS: ["1.1.0", "RUNNING"]}, "rates": {crashing.PRESS: 1}}
NEW = {
    "upgrade": UPGRADED,
    "rollback": OLD,
    "exchange": {
        "components": {crashing.OTHER: ["1.1.0", "RUNNING"]},
        "rates": {crashing.OTHER: 5},
    },
    "configure": {**OLD, "rates": {crashing.PRESS: 5}},
    "bootstrap": UPGRADED,
    "archive": {
        "components": {name: ["1.1.0", "RUNNING"] for name in (crashing.OTHER, crashing.PRESS)},
        "rates": {crashing.PRESS: 1},
    },
}
OUTCOME = {name: "FAILED" if name == "rollback" else "SUCCEEDED" for name in NEW}

tried: collections.Counter[str] = collections.Counter()
"""How many kills each scenario has seen in this run."""


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a short path, because a Unix socket's path is short, in memory where there is some.

    A process that is killed loses nothing that it has written, on whatever medium.
    """
    memory = "/dev/shm"
    made = Path(tempfile.mkdtemp(prefix="vg", dir=memory if os.access(memory, os.W_OK) else None))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def kill_everywhere(directory: Path, scenario: str) -> list[dict[str, Any]]:
    """Return a report for every write point, and several without a kill."""
    parts = [
        kill_at(directory / str(first), scenario, range(first, MOST_POINTS, SIDE_BY_SIDE))
        for first in range(1, SIDE_BY_SIDE + 1)
    ]
    reports = [report for part in await asyncio.gather(*parts) for report in part]
    return sorted(reports, key=lambda report: int(report["point"]))


async def kill_at(directory: Path, scenario: str, points: range) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.crashing",
        str(directory),
        scenario,
        *map(str, points),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{nuclei.SOURCE}:{ROOT}"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    reports = [json.loads(line) for line in out.splitlines()]
    assert not reports[-1]["killed"], "there are more write points than were tried"
    return reports


@pytest.mark.timeout(240)
@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("scenario", crashing.SCENARIOS)
async def test_every_kill_leaves_the_old_or_the_new_state(
    directory: Path, scenario: str, turn: int
) -> None:
    """Whatever was accepted is carried to its end by the next start; nothing is left half-done."""
    reports = await kill_everywhere(directory, scenario)
    killed = [report["point"] for report in reports if report["killed"]]
    assert killed == list(range(1, len(killed) + 1)), "no point is left out"
    assert len(killed) > 15
    tried[scenario] += len(killed)
    for report in reports:
        place = json.dumps(report, indent=1)
        assert report["restart"] == 0, place
        newest, *older = report["statuses"]
        if older:
            assert newest == OUTCOME[scenario], place
        expected = NEW[scenario] if older else OLD
        assert {key: report[key] for key in expected} == expected, place
        versions = {version for version, _ in report["components"].values()}
        assert set(report["data"].values()) == {"old" if versions == {"1.0.0"} else "new"}, place
        assert report["staging"] == 0, place
        assert report["contents"] == len(report["components"]), place


def test_two_hundred_kills() -> None:
    """All scenarios together are more than two hundred kills."""
    if len(tried) < len(crashing.SCENARIOS):
        pytest.skip("not all scenarios were played in this run")
    assert sum(tried.values()) >= 200, tried
