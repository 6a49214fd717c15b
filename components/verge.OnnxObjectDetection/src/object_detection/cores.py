"""How many cores this component may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/proc/self/cgroup")
TREE = Path("/sys/fs/cgroup")


def count_available(cgroup: Path = CGROUP, tree: Path = TREE) -> int:
    """Return the cores left by the processor affinity and by the limits of the control groups.

    A limit of 1.5 cores counts as two: the second is there half of the time.
    """
    cores = len(os.sched_getaffinity(0))
    limits = [limit for limit in _limits(cgroup, tree) if limit > 0]
    return max(1, min([cores, *map(math.ceil, limits)]))


def _limits(cgroup: Path, tree: Path) -> list[float]:
    try:
        lines = cgroup.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += [_read_max(folder / "cpu.max") for folder in _upwards(tree, path)]
        elif "cpu" in controllers.split(","):
            folders = _upwards(tree / controllers, path) + _upwards(tree / "cpu", path)
            found += [_read_quota(folder) for folder in folders]
    return found


def _upwards(root: Path, path: str) -> list[Path]:
    """Return the folder of a group and of those above it: the tightest limit counts."""
    group = Path(path.lstrip("/"))
    return [root / group, *(root / parent for parent in group.parents)]


def _read_max(file: Path) -> float:
    try:
        quota, period = file.read_text(encoding="utf-8").split()
        return 0.0 if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return 0.0


def _read_quota(folder: Path) -> float:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
        return quota / int((folder / "cpu.cfs_period_us").read_text(encoding="utf-8"))
    except (OSError, ValueError, ZeroDivisionError):
        return 0.0
