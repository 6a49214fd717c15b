"""What a build costs: nothing changed in 1,000 components, one byte changed, and all of it.

Each figure is the time of a whole process, interpreter start and imports included, and stands
beside that of a process that only imports what a build imports.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.unit.fleet import samples
from verge.fleet import project

COMPONENTS = 1_000
ROUNDS = 5
IDLE_GOAL = 2.0
"""Seconds for COMPONENTS with nothing to do."""

BUILD = """
import sys
from pathlib import Path
from verge.fleet import build, project
build.build_components(project.Project(Path(sys.argv[1])))
"""
IMPORTS = "import verge.fleet.build, verge.fleet.project"


def main() -> int:
    """Measure, print, and return 1 if the goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        where = samples.make_project(Path(folder) / "checkout")
        for number in range(COMPONENTS):
            texts = {f"src/part{part}.py": f"value = {number * part}\n" for part in range(4)}
            samples.add_component(where, f"com.example.C{number:04}", files=texts)
        everything = _time(BUILD, where)
        _time(BUILD, where)  # from here on the cache trusts every file
        idle = _median(BUILD, where)
        floor = _median(IMPORTS, where)
        one = statistics.median(_edit_and_build(where, number) for number in range(ROUNDS))
    print(f"{COMPONENTS} components of 7 files, median of {ROUNDS} processes")
    print(f"  imports alone     {floor:7.3f} s")
    print(
        f"  nothing changed   {idle:7.3f} s  {idle / floor:5.1f} times imports, goal {IDLE_GOAL} s"
    )
    print(f"  one byte changed  {one:7.3f} s  {one / idle:5.1f} times nothing changed")
    print(
        f"  everything        {everything:7.3f} s  {everything / idle:5.1f} times nothing changed"
    )
    return int(idle > IDLE_GOAL)


def _edit_and_build(where: project.Project, number: int) -> float:
    path = where.components_dir / f"com.example.C{number:04}" / "src/main.py"
    path.write_text(f"print({number})\n")
    return _time(BUILD, where)


def _median(program: str, where: project.Project) -> float:
    return statistics.median(_time(program, where) for _ in range(ROUNDS))


def _time(program: str, where: project.Project) -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", program, str(where.root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
