"""Freezing of components, on directories that look like those of the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from verge.nucleus.lifecycle import limits

PRESS = "com.example.Press"
SERVICE = "system.slice/greengrass.service"


@pytest.fixture(params=["v1", "v2"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[limits.Groups, Path]:
    """The groups of a nucleus, and the directory below which frozen groups lie."""
    own = tmp_path / "own"
    own.write_text(f"0::/{SERVICE}\n")
    if request.param == "v2":
        (tmp_path / "cgroup.controllers").write_text("cpu memory")
        above = tmp_path / SERVICE
        above.mkdir(parents=True)
        (above / "cgroup.procs").write_text("")
    else:
        above = tmp_path / "freezer"
        above.mkdir()
    return limits.Groups(Path("/greengrass/v2"), tmp_path, own), above


def state(above: Path) -> str:
    """Return what was last written to freeze or thaw the component."""
    files = [*above.rglob("freezer.state"), *above.rglob("cgroup.freeze")]
    (text,) = (file.read_text() for file in files if file.parent.name == PRESS)
    return {"FROZEN": "frozen", "1": "frozen", "THAWED": "thawed", "0": "thawed"}[text]


def test_freeze_and_thaw(host: tuple[limits.Groups, Path]) -> None:
    """All processes are moved into one group, late ones too, and that is frozen."""
    groups, above = host
    found = iter([{1}, {1, 2}, {1, 2}])
    groups.freeze(PRESS, limits.Limits(), lambda: next(found))
    assert state(above) == "frozen"
    (members,) = (each for each in above.rglob("cgroup.procs") if each.parent.name == PRESS)
    assert members.read_text() == "2"
    assert next(found, None) is None
    groups.thaw(PRESS)
    assert state(above) == "thawed"


def test_thaw_of_what_was_never_frozen(host: tuple[limits.Groups, Path]) -> None:
    """Nothing is made for a component that was never frozen."""
    groups, above = host
    groups.thaw(PRESS)
    groups.thaw_all()
    assert not list(above.rglob(PRESS))


def test_next_nucleus_thaws_everything(host: tuple[limits.Groups, Path], tmp_path: Path) -> None:
    """What a killed nucleus froze goes on, so that it can be ended."""
    groups, above = host
    groups.freeze(PRESS, limits.Limits(), set)
    limits.Groups(Path("/greengrass/v2"), tmp_path, tmp_path / "own").thaw_all()
    assert state(above) == "thawed"


def test_host_without_a_freezer(tmp_path: Path) -> None:
    """A host of version 1 without that hierarchy says so."""
    groups = limits.Groups(Path("/greengrass/v2"), tmp_path)
    with pytest.raises(limits.GroupsError, match="no control groups to freeze"):
        groups.freeze(PRESS, limits.Limits(), set)


def test_host_that_forbids_it(tmp_path: Path) -> None:
    """A hierarchy that cannot be written gives the reason and the file."""
    (tmp_path / "freezer").symlink_to("/proc")
    groups = limits.Groups(Path("/greengrass/v2"), tmp_path)
    with pytest.raises(limits.GroupsError, match=r"does not allow control groups: .*freezer"):
        groups.freeze(PRESS, limits.Limits(), set)
