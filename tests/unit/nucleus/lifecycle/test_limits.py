"""Control groups, on directories that look like those of the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from verge.nucleus.lifecycle import limits

PRESS = "com.example.Press"


def hierarchy(top: Path, *, own: str = "/system.slice/greengrass.service") -> limits.Groups:
    """Return the groups of a nucleus on a host with the unified hierarchy."""
    (top / "cgroup.controllers").write_text("cpu memory")
    here = top / own.lstrip("/")
    here.mkdir(parents=True, exist_ok=True)
    (here / "cgroup.procs").write_text("17\n")
    (top / "own").write_text(f"0::{own}\n")
    return limits.Groups(Path("/greengrass/v2"), top, top / "own")


def files(top: Path) -> dict[str, str]:
    return {str(p.relative_to(top)): p.read_text() for p in top.rglob("*") if p.is_file()}


def test_unified_hierarchy(tmp_path: Path) -> None:
    """The nucleus makes room for groups below its own and limits the component's."""
    groups = hierarchy(tmp_path)
    groups.limit(PRESS, limits.Limits(1000, 0.5))
    groups.admit(PRESS, [42])
    found = files(tmp_path / "system.slice/greengrass.service")
    (component,) = (key.removesuffix("/memory.max") for key in found if "memory.max" in key)
    assert component.endswith(PRESS)
    assert found["nucleus/cgroup.procs"] == "17"
    assert found["cgroup.subtree_control"] == "+memory +cpu"
    assert found[f"{component}/memory.max"] == str(1000 * 1024)
    assert found[f"{component}/cpu.max"] == "50000 100000"
    assert found[f"{component}/cgroup.procs"] == "42"


def test_lifted_limits(tmp_path: Path) -> None:
    """Limits that are taken off are written as no limit; who has none gets no group."""
    groups = hierarchy(tmp_path)
    groups.lift(PRESS)
    assert not any("greengrass-" in name for name in files(tmp_path))
    groups.limit(PRESS, limits.Limits(1000, 0.5))
    groups.lift(PRESS)
    written = {Path(name).name: text for name, text in files(tmp_path).items() if PRESS in name}
    assert written == {"memory.max": "max", "cpu.max": "max 100000"}


def test_limits_after_the_last_limited_component_has_gone(tmp_path: Path) -> None:
    """The group above those of the components goes with the last of them, and comes back."""
    groups = hierarchy(tmp_path)
    groups.limit(PRESS, limits.Limits(1000))
    (group,) = tmp_path.rglob(PRESS)
    for file in [*group.iterdir(), *group.parent.glob("cgroup.*")]:
        file.unlink()  # the kernel's own files do not keep a directory
    groups.remove(PRESS)
    assert not group.parent.exists()
    groups.limit(PRESS, limits.Limits(2000))
    assert (group / "memory.max").read_text() == str(2000 * 1024)


def test_version_1_hierarchy(tmp_path: Path) -> None:
    """Every controller has a group of its own."""
    for controller in ("memory", "cpu"):
        (tmp_path / controller).mkdir()
    groups = limits.Groups(Path("/greengrass/v2"), tmp_path)
    groups.limit(PRESS, limits.Limits(1000))
    written = {Path(name).name: text for name, text in files(tmp_path).items()}
    assert written == {
        "memory.limit_in_bytes": str(1000 * 1024),
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "-1",
    }


@pytest.mark.parametrize("events", ["memory.events", "memory.oom_control"])
def test_lack_of_memory_is_seen(tmp_path: Path, events: str) -> None:
    """What the kernel ended for its limit is told from what was killed otherwise."""
    groups = hierarchy(tmp_path)
    groups.limit(PRESS, limits.Limits(1000))
    assert not groups.ran_out_of_memory(PRESS)
    (file,) = tmp_path.rglob("memory.max")
    file.with_name(events).write_text("under_oom 0\noom_kill 1\n")
    assert groups.ran_out_of_memory(PRESS)


def test_host_without_control_groups(tmp_path: Path) -> None:
    """A host that offers none is told from one that limits."""
    groups = limits.Groups(Path("/greengrass/v2"), tmp_path)
    with pytest.raises(limits.GroupsError, match="the host offers no control groups for memory"):
        groups.limit(PRESS, limits.Limits(1000))
