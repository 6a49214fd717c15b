"""What a file is, and the id that names it."""

import json
import os
from pathlib import Path

import pytest
from file_system_monitor import ledger, settings, states

CASES = Path(__file__).parents[3] / "tests" / "cases" / "wire"


def read_state(path: Path) -> states.FileState:
    sighting = states.look(str(path))
    assert sighting is not None
    return sighting.file


def test_the_id_follows_the_state(tmp_path: Path) -> None:
    """The id stays while the file stays, and changes with content, time, name, inode, device."""
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    first = read_state(path)
    assert first == read_state(path)
    ids = {first.identity("press-01"), first.identity("press-02")}
    os.utime(path, ns=(1, 1))
    touched = read_state(path)
    path.rename(tmp_path / "b.png")
    renamed = read_state(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"one")
    os.utime(tmp_path / "c.png", ns=(1, 1))
    (tmp_path / "c.png").rename(tmp_path / "b.png")
    replaced = read_state(tmp_path / "b.png")
    for state in (touched, renamed, replaced):
        ids.add(state.identity("press-01"))
    assert len(ids) == 5
    assert all(len(identity) == 32 for identity in ids)


def test_the_document_is_the_pinned_one() -> None:
    """The message has the fields of the pinned example and its values for such a file."""
    expected = json.loads((CASES / "file.json").read_bytes())
    state = states.FileState(expected["path"], 42, 1_789_980_000_250_000_000, expected["size"])
    document = state.document("press-01")
    assert document == {**expected, "id": state.identity("press-01")}


def test_what_is_no_file_to_announce_is_refused(tmp_path: Path) -> None:
    """Links, directories, pipes, odd names and large files are seen, each with its code."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "dangling").symlink_to("/nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "two\nlines").touch()
    (tmp_path / "narrow\u202fspace").touch()
    (tmp_path / "large").write_bytes(b"large")
    odd = os.fsdecode(b"\xff.png")
    (tmp_path / odd).touch()
    expected = {
        "directory": "not_a_file",
        "link": "not_a_file",
        "dangling": "not_a_file",
        "pipe": "not_a_file",
        "two\nlines": "bad_name",
        odd: "bad_name",
        "narrow\u202fspace": None,
        "large": "too_large",
    }
    found = {name: states.look(f"{tmp_path}/{name}", 4) for name in expected}
    assert {name: seen and seen.refusal for name, seen in found.items()} == expected
    assert states.look(f"{tmp_path}/absent") is None
    for sighting in found.values():
        assert sighting is not None
        document = sighting.file.document("press-01")
        json.dumps(document, ensure_ascii=False).encode()
        assert sighting.refusal is None or sighting.refusal in states.REFUSALS
    assert found[odd].file.path == f"{tmp_path}/\\xff.png"  # type: ignore[union-attr]


def test_a_ledger_can_hold_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file server's inodes have 64 bits, and its times may be any; the ids still differ."""
    path = tmp_path / "a.png"
    path.touch()
    real = os.lstat(path)
    book = ledger.Ledger(tmp_path / "ledger")
    for inode, time in ((2**64 - 1, 10**30), (2**63, -(10**30)), (5, 10**30)):
        found = os.stat_result(
            (real.st_mode, inode, *tuple(real)[2:]), {"st_mtime_ns": time, "st_ino": inode}
        )
        monkeypatch.setattr(os, "lstat", lambda _, found=found: found)
        state = read_state(path)
        assert book.add(state.identity("press-01"), state) is not None
    monkeypatch.undo()
    assert book.open_count() == 1
    book.close()


def test_a_directory_that_changes_is_refused_once(tmp_path: Path) -> None:
    """What goes on in a directory under a wanted name gives it no new id."""
    before = states.look(str(tmp_path))
    (tmp_path / "file").touch()
    assert states.look(str(tmp_path)) == before


def test_finds_what_is_wanted(tmp_path: Path) -> None:
    """A look at a directory finds wanted files in name order, below it only if configured."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.png", "a.png", "c.txt", ".d.png", "deep/e.png", "deep/er/f.png"):
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)

    def names(*, recursive: bool) -> list[str]:
        wanted = settings.read_settings({"patterns": ["*.png"], "recursive": recursive})
        return [Path(seen.place).name for seen in states.find(tmp_path, wanted)]

    assert names(recursive=False) == ["a.png", "b.png"]
    assert names(recursive=True) == ["a.png", "b.png", "e.png", "f.png"]
    assert list(states.find(tmp_path / "absent", settings.read_settings({}))) == []


def test_goes_as_deep_as_paths_go(tmp_path: Path) -> None:
    """Directories within directories are looked at, however many there are."""
    folders = [tmp_path / "d"]
    while len(folders) < 1200:
        folders.append(folders[-1] / "d")
    for folder in folders:
        folder.mkdir()
    try:
        (folders[-1] / "a.png").touch()
        wanted = settings.read_settings({"patterns": ["*.png"], "recursive": True})
        assert [seen.place for seen in states.find(tmp_path, wanted)] == [f"{folders[-1]}/a.png"]
        assert list(states.find_directories(tmp_path)) == [*map(str, folders)]
    finally:
        # What removes the test's folder could not go as deep.
        (folders[-1] / "a.png").unlink()
        for folder in reversed(folders):
            folder.rmdir()


def test_passes_over_what_is_excluded(tmp_path: Path) -> None:
    """Excluded names are no files to announce and no directories to go into."""
    (tmp_path / "thumbs").mkdir()
    for name in ("a.png", "a_preview.png", "thumbs/b.png"):
        (tmp_path / name).touch()
    wanted = settings.read_settings(
        {"patterns": ["*.png"], "recursive": "true", "excludePatterns": ["*_PREVIEW.*", "thumbs"]}
    )
    assert [Path(seen.place).name for seen in states.find(tmp_path, wanted)] == ["a.png"]
    assert list(states.find_directories(tmp_path, wanted.leaves_out)) == []
