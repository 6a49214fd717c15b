"""Freezing through the kernel's own unified hierarchy, which may lie beside one of version 1."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from verge.nucleus.lifecycle import limits

PRESS = "com.example.Press"


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[limits.Groups]:
    """Groups at the top of a unified hierarchy, mounted for this test."""
    mount = tmp_path / "cgroup"
    mount.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "cgroup2", "none", str(mount)], check=False, capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"the host mounts no unified hierarchy: {mounted.stderr.strip()}")
    (tmp_path / "own").write_text("0::/\n")
    try:
        yield limits.Groups(tmp_path, mount, tmp_path / "own")
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def ticks(pid: int) -> int:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def until_it_works(pid: int) -> None:
    before, deadline = ticks(pid), time.monotonic() + 20
    while ticks(pid) == before:
        assert time.monotonic() < deadline, "the process does not go on"
        time.sleep(0.01)


def test_frozen_process_stands_still_and_goes_on(groups: limits.Groups, tmp_path: Path) -> None:
    """A process that is frozen uses no time until it is thawed; its group goes with it."""
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as process:
        try:
            until_it_works(process.pid)
            groups.freeze(PRESS, limits.Limits(), lambda: {process.pid})
            (events,) = (tmp_path / "cgroup").rglob(f"{PRESS}/cgroup.events")
            while "frozen 1" not in events.read_text():
                time.sleep(0.01)
            before = ticks(process.pid)
            time.sleep(0.1)  # what is to be seen is that nothing happens
            assert ticks(process.pid) == before
            groups.thaw(PRESS)
            until_it_works(process.pid)
        finally:
            groups.thaw(PRESS)
            os.kill(process.pid, signal.SIGKILL)
    groups.remove(PRESS)
    assert not list((tmp_path / "cgroup").glob("greengrass-*"))
