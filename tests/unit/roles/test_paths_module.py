"""Several paths brought to what is wanted."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.roles import loading

paths = loading.load("file_set", "library", "verge_paths")

MODES = st.sampled_from(["0600", "0640", "0644", "0755"])
WISHES = st.one_of(
    st.just({"state": "absent"}),
    st.fixed_dictionaries({"state": st.just("directory"), "mode": MODES}),
    st.fixed_dictionaries(
        {"state": st.just("file"), "content": st.sampled_from(["", "one\n"]), "mode": MODES}
    ),
    st.fixed_dictionaries({"state": st.just("link"), "target": st.sampled_from(["/one", "two"])}),
)


def _apply(path: Path, *, check: bool = False, **wanted: Any) -> Any:
    item = paths.Item({"path": str(path), **wanted}, check=check)
    item.apply()
    return item


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _look(path: Path) -> object:
    if path.is_symlink():
        return path.readlink()
    if not path.exists():
        return None
    return path.is_dir() or path.read_bytes(), _mode(path)


@given(before=WISHES, wanted=WISHES)
def test_a_path_becomes_what_is_wanted_once(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """A check tells of the change and makes none, a run makes it, and a second finds nothing."""
    path = tmp_path_factory.mktemp("paths") / "it"
    _apply(path, **before)
    present = _look(path)
    try:
        planned = _apply(path, check=True, **wanted)
    except paths.PathError:
        assert {before["state"], wanted["state"]} > {"directory"} or "link" in (
            before["state"],
            wanted["state"],
        )
        return
    assert _look(path) == present
    done = _apply(path, **wanted)
    assert bool(planned.after) == bool(done.after) == (_look(path) != present)
    assert _apply(path, **wanted).after == []
    assert [item.name for item in path.parent.iterdir() if item != path] == []


def test_a_file_is_private_before_it_has_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new file is never readable by more than its mode allows, whatever the umask."""
    seen: list[int] = []
    written = os.fchmod

    def note(descriptor: int, mode: int) -> None:
        seen.append(os.fstat(descriptor).st_mode)
        written(descriptor, mode)

    monkeypatch.setattr(paths.os, "fchmod", note)
    path = tmp_path / "secret"
    former = os.umask(0)
    try:
        _apply(path, content="secret", mode="0600")
    finally:
        os.umask(former)
    assert [stat.S_IMODE(mode) for mode in seen] == [0o600]
    assert _mode(path) == 0o600


def test_a_file_keeps_the_mode_that_nobody_asks_about(tmp_path: Path) -> None:
    """New content leaves a mode alone that is not stated; a new file has 0644."""
    path = tmp_path / "file"
    _apply(path, content="one")
    assert _mode(path) == 0o644
    path.chmod(0o640)
    _apply(path, content="two")
    assert (_mode(path), path.read_text()) == (0o640, "two")


def test_a_file_has_the_content_of_another(tmp_path: Path) -> None:
    """With `source` a file is a copy of one that is on the device."""
    (tmp_path / "source").write_bytes(b"\xff\x00")
    _apply(tmp_path / "copy", source=str(tmp_path / "source"))
    assert (tmp_path / "copy").read_bytes() == b"\xff\x00"
    assert _apply(tmp_path / "copy", source=str(tmp_path / "source")).after == []


def test_a_file_without_content_is_only_kept(tmp_path: Path) -> None:
    """Without content a file keeps its own, gets its mode, and must be there."""
    path = tmp_path / "key"
    with pytest.raises(paths.PathError, match=r"cannot keep .*key: there is no such file"):
        _apply(path, mode="0600")
    assert _apply(path, check=True, mode="0600").after == []
    path.write_text("key")
    path.chmod(0o644)
    _apply(path, mode="0600")
    assert (_mode(path), path.read_text()) == (0o600, "key")


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    """What a link leads to stays as it is when a file takes the link's place."""
    outside = tmp_path / "outside"
    outside.write_text("kept")
    path = tmp_path / "file"
    path.symlink_to(outside)
    _apply(path, content="new", mode="0644")
    assert (outside.read_text(), path.is_symlink(), path.read_text()) == ("kept", False, "new")
    path.unlink()
    path.symlink_to(outside)
    _apply(path, state="absent")
    assert outside.exists()


def test_missing_parents_can_be_entered(tmp_path: Path) -> None:
    """A directory's own mode is not that of the directories above it."""
    _apply(tmp_path / "above" / "private", state="directory", mode="0700")
    assert (_mode(tmp_path / "above"), _mode(tmp_path / "above" / "private")) == (0o755, 0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner_and_mode_are_both_kept(tmp_path: Path) -> None:
    """A new owner does not cost the bits that a change of owner clears."""
    user, group = pwd.getpwnam("nobody"), grp.getgrgid(pwd.getpwnam("nobody").pw_gid)
    wanted: dict[str, Any] = {"owner": user.pw_name, "group": group.gr_name, "mode": "2755"}
    _apply(tmp_path / "shared", state="directory", **wanted)
    found = (tmp_path / "shared").stat()
    assert (found.st_uid, found.st_gid) == (user.pw_uid, group.gr_gid)
    assert stat.S_IMODE(found.st_mode) == 0o2755
    assert _apply(tmp_path / "shared", state="directory", **wanted).after == []


def test_an_owner_that_a_check_has_not_made_is_a_change(tmp_path: Path) -> None:
    """A user that does not exist is refused by name; in a check an earlier task would make it."""
    wanted: dict[str, Any] = {"state": "directory", "owner": "nobody-of-that-name"}
    with pytest.raises(paths.PathError, match="nobody-of-that-name"):
        _apply(tmp_path, **wanted)
    assert _apply(tmp_path, check=True, **wanted).after != []


def test_the_difference_shows_the_lines(tmp_path: Path) -> None:
    """`--diff` has the text before and after, and the path."""
    path = tmp_path / "file"
    _apply(path, content="one\n")
    shown = _apply(path, content="two\n", check=True).diff()
    assert shown == {
        "before_header": str(path),
        "after_header": str(path),
        "before": "one\n",
        "after": "two\n",
    }
