"""A nucleus killed at every point at which a deployment writes.

Every point of every scenario is tried once, about 120 kills. `VERGE_CRASH_ROUNDS=2` repeats all of
it, which makes 200 and more.
"""

from __future__ import annotations

import asyncio
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
MOST_POINTS = 100

OLD = {crashing.PRESS: ["1.0.0", "RUNNING"]}
NEW = {
    "upgrade": {crashing.PRESS: ["1.1.0", "RUNNING"]},
    "rollback": OLD,
    "exchange": {crashing.OTHER: ["1.1.0", "RUNNING"]},
}
OUTCOME = {"upgrade": "SUCCEEDED", "rollback": "FAILED", "exchange": "SUCCEEDED"}


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a short path, because a Unix socket's path is short."""
    made = Path(tempfile.mkdtemp(prefix="vg"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def kill_everywhere(directory: Path, scenario: str) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.crashing",
        str(directory),
        scenario,
        *[str(point + 1) for point in range(MOST_POINTS)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{nuclei.SOURCE}:{ROOT}"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("scenario", crashing.SCENARIOS)
async def test_every_kill_leaves_the_old_or_the_new_state(
    directory: Path, scenario: str, turn: int
) -> None:
    """Whatever was accepted is carried to its end by the next start; nothing is left half-done."""
    reports = await kill_everywhere(directory, scenario)
    assert not reports[-1]["killed"], "there are more write points than were tried"
    assert len(reports) > 20
    for report in reports:
        place = json.dumps(report, indent=1)
        assert report["restart"] == 0, place
        newest, *older = report["statuses"]
        if older:
            assert newest == OUTCOME[scenario], place
            assert report["components"] == NEW[scenario], place
        else:
            assert report["components"] == OLD, place
        versions = {version for version, _ in report["components"].values()}
        assert set(report["data"].values()) == {"old" if versions == {"1.0.0"} else "new"}, place
        assert report["staging"] == 0, place
        assert report["contents"] == 1, place
