from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.fleet import samples
from verge.fleet import errors, files

SOURCES = Path(__file__).resolve().parents[3] / "src"


def test_file_is_replaced_whole(tmp_path: Path) -> None:
    """A file that is written anew is another file; a reader of the old one keeps that."""
    path = tmp_path / "deep" / "a.json"
    files.write_json(path, {"ä": 1})
    with path.open("rb") as former:
        files.write_atomic(path, b"new")
        assert former.read() == '{"ä":1}\n'.encode()
    assert samples.tree(tmp_path) == {"deep/a.json": b"new"}


def test_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without space the old file stays, no scratch file does, and the error says what to do."""
    path = tmp_path / "a"
    path.write_text("old")

    def full(_path: Path, _target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(errors.FleetError) as told:
        files.write_atomic(path, b"new")
    assert told.value.message == f"cannot write {path}: no space left on device"
    assert told.value.hint == "free some space and run the command again"
    assert samples.tree(tmp_path) == {"a": b"old"}


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
def test_folder_is_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    """A folder takes the place of another, which ends up where the new one was."""
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda _one, _other: False)
    samples.write_files(tmp_path, {"old/a": "old", "new/b": "new"})
    files.put_folder(tmp_path / "new", tmp_path / "old")
    assert samples.tree(tmp_path) == {"old/b": b"new", "new/a": b"old"}
    files.put_folder(tmp_path / "new", tmp_path / "first")
    assert samples.tree(tmp_path) == {"old/b": b"new", "first/a": b"old"}


def test_staging_is_always_cleared(tmp_path: Path) -> None:
    """What a killed command left is cleared first, and what a failing one made afterwards."""
    samples.write_files(tmp_path, {"staging/123/left": "x"})

    def fail() -> None:
        with files.staging(tmp_path) as folder:
            (folder / "a").touch()
            assert samples.tree(tmp_path).keys() == {f"staging/{os.getpid()}/a"}
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_lock_of_a_killed_command_is_free(tmp_path: Path) -> None:
    """A lock ends with its holder, however it ends, and a damaged note does not matter."""
    program = (
        "import sys, os, signal; from pathlib import Path; from verge.fleet import files\n"
        "with files.held(Path(sys.argv[1]), 'test'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    assert subprocess.run(command, env=environment, check=False).returncode < 0
    (tmp_path / "lock").write_text("{")
    said: list[str] = []
    with files.held(tmp_path, "test", said.append):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()
    assert said == []


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"], ids=repr)
def test_damaged_cache_is_empty(tmp_path: Path, content: bytes) -> None:
    """What a cache held can be worked out again, so damage is no error."""
    (tmp_path / "a").write_bytes(content)
    assert files.read_state(tmp_path / "a") == {}
    assert files.read_state(tmp_path / "absent") == {}
