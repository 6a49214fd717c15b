"""How many threads the network gets."""

import os
from pathlib import Path

import pytest
from object_detection import cores


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("line", "place", "files", "expected"),
    [
        ("0::/a/b", "a", {"cpu__max": "150000 100000"}, 2),
        ("0::/a/b", "a/b", {"cpu__max": "50000 100000"}, 1),
        ("0::/a/b", "a/b", {"cpu__max": "max 100000"}, None),
        ("0::/a/b", "a/b", {"cpu__max": "garbage"}, None),
        (
            "4:cpu,cpuacct:/a",
            "cpu,cpuacct/a",
            {"cpu__cfs_quota_us": "100000", "cpu__cfs_period_us": "100000"},
            1,
        ),
        (
            "4:cpu,cpuacct:/a",
            "cpu,cpuacct/a",
            {"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"},
            None,
        ),
        ("9:memory:/a", "memory/a", {"cpu__cfs_quota_us": "1", "cpu__cfs_period_us": "1"}, None),
    ],
)
def test_the_tightest_limit_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    place: str,
    files: dict[str, str],
    expected: int | None,
) -> None:
    """Limits of the group and of those above it count, rounded up; without one all cores do."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    own = tmp_path / "cgroup"
    own.write_text(f"{line}\n")
    write(tmp_path / "tree" / place, **files)
    assert cores.count_available(own, tmp_path / "tree") == (expected or 8)


def test_a_host_without_control_groups_has_its_cores(tmp_path: Path) -> None:
    """Where nothing limits it, the processor affinity decides."""
    absent = tmp_path / "absent"
    assert cores.count_available(absent, absent) == len(os.sched_getaffinity(0))
