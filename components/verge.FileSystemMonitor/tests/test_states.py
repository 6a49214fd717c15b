"""What a file is, and the id that names it."""

import json
import os
from pathlib import Path

from file_system_monitor import settings, states

CASES = Path(__file__).parents[3] / "tests" / "cases" / "wire"


def test_the_id_follows_the_state(tmp_path: Path) -> None:
    """The id stays while the file stays, and changes with content, time, name, inode, device."""
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    first = states.read_state(str(path))
    assert first is not None
    assert first == states.read_state(str(path))
    ids = {first.identity("press-01"), first.identity("press-02")}
    os.utime(path, ns=(1, 1))
    touched = states.read_state(str(path))
    path.rename(tmp_path / "b.png")
    renamed = states.read_state(str(tmp_path / "b.png"))
    (tmp_path / "c.png").write_bytes(b"one")
    os.utime(tmp_path / "c.png", ns=(1, 1))
    (tmp_path / "c.png").rename(tmp_path / "b.png")
    replaced = states.read_state(str(tmp_path / "b.png"))
    for state in (touched, renamed, replaced):
        assert state is not None
        ids.add(state.identity("press-01"))
    assert len(ids) == 5
    assert all(len(identity) == 32 for identity in ids)


def test_the_document_is_the_pinned_one() -> None:
    """The message has the fields of the pinned example and its values for such a file."""
    expected = json.loads((CASES / "file.json").read_bytes())
    state = states.FileState(expected["path"], 42, 1_789_980_000_250_000_000, expected["size"])
    document = state.document("press-01")
    assert document == {**expected, "id": state.identity("press-01")}


def test_only_regular_files_have_a_state(tmp_path: Path) -> None:
    """Links, directories, pipes and names that are no text are left alone."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe")
    odd = os.fsencode(tmp_path) + b"/\xff.png"
    with open(odd, "wb"):  # noqa: PTH123 - pathlib takes no bytes
        pass
    names = ["directory", "link", "pipe", "absent", "\udcff.png"]
    assert [states.read_state(f"{tmp_path}/{name}") for name in names] == [None] * 5


def test_finds_what_is_wanted(tmp_path: Path) -> None:
    """A look at a directory finds wanted files in name order, below it only if configured."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.png", "a.png", "c.txt", ".d.png", "deep/e.png", "deep/er/f.png"):
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)

    def names(*, recursive: bool) -> list[str]:
        wanted = settings.read_settings({"patterns": ["*.png"], "recursive": recursive})
        return [Path(state.path).name for state in states.find_files(tmp_path, wanted)]

    assert names(recursive=False) == ["a.png", "b.png"]
    assert names(recursive=True) == ["a.png", "b.png", "e.png", "f.png"]
    assert list(states.find_files(tmp_path / "absent", settings.read_settings({}))) == []
