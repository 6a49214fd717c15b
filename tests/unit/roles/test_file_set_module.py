"""The comparison of a directory with the files it should hold."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.roles import loading

file_set = loading.load("file_set", "library", "verge_file_set")

NAMES = st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h"])
CONTENTS = st.dictionaries(NAMES, st.sampled_from([b"", b"one", b"two"]))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)


@given(present=CONTENTS, wanted=CONTENTS)
def test_comparison_names_what_differs(
    tmp_path_factory: pytest.TempPathFactory, present: dict[str, bytes], wanted: dict[str, bytes]
) -> None:
    """Missing is what is absent or has other content; extra is what is not named."""
    directory = tmp_path_factory.mktemp("set")
    _write(directory, present)
    digests = {name: _digest(content) for name, content in wanted.items()}
    missing, extra = file_set.compare(directory, digests)
    assert missing == sorted(name for name in wanted if present.get(name) != wanted[name])
    assert extra == sorted(present.keys() - wanted.keys())
    file_set.remove(directory, extra)
    assert file_set.compare(directory, digests) == (missing, [])
    left = {path for path in directory.rglob("*") if path.is_dir() and not any(path.iterdir())}
    assert left == set()


def test_absent_directory_lacks_everything(tmp_path: Path) -> None:
    """A directory that does not exist yet is an empty one."""
    assert file_set.compare(tmp_path / "none", {"a": _digest(b"")}) == (["a"], [])


def test_links_are_no_files(tmp_path: Path) -> None:
    """A link is never taken for the file it leads to, nor followed when it is removed."""
    outside = tmp_path / "outside"
    _write(outside, {"kept": b"one"})
    directory = tmp_path / "set"
    directory.mkdir()
    (directory / "a").symlink_to(outside / "kept")
    (directory / "folder").symlink_to(outside)
    missing, extra = file_set.compare(directory, {"a": _digest(b"one")})
    assert (missing, extra) == (["a"], ["folder"])
    file_set.remove(directory, extra)
    assert (outside / "kept").read_bytes() == b"one"


def test_a_directory_in_place_of_a_file_differs(tmp_path: Path) -> None:
    """A directory of the name is not the file."""
    (tmp_path / "a").mkdir()
    assert file_set.compare(tmp_path, {"a": _digest(b"")}) == (["a"], [])
