from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from verge.fleet import stamps


def wait_until_settled(path: Path) -> None:
    """Wait until a file is old enough to be remembered."""
    while time.time_ns() - path.stat().st_ctime_ns < stamps.SETTLED_AFTER_NS:
        time.sleep(0.005)


def test_settled_file_is_hashed_once(tmp_path: Path) -> None:
    """A file that is old enough is read once, and again only after it changed."""
    path = tmp_path / "a"
    path.write_text("1")
    wait_until_settled(path)
    first = stamps.Stamps()
    digest = first.digest(str(path), path.stat())
    assert digest == hashlib.sha256(b"1").hexdigest()
    second = stamps.Stamps(first.current)
    assert second.digest(str(path), path.stat()) == digest
    assert (first.hashed, second.hashed, second.dirty) == (1, 0, False)
    path.write_text("2")
    third = stamps.Stamps(second.current)
    assert third.digest(str(path), path.stat()) == hashlib.sha256(b"2").hexdigest()


def test_fresh_file_is_not_trusted(tmp_path: Path) -> None:
    """A file that was written a moment ago may change within one tick of the clock."""
    path = tmp_path / "a"
    path.write_text("1")
    status = path.stat()
    first = stamps.Stamps()
    first.digest(str(path), status)
    path.write_text("2")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    # The worst case: the file system shows the same status for other content.
    second = stamps.Stamps(first.current)
    assert second.digest(str(path), status) == hashlib.sha256(b"2").hexdigest()


@pytest.mark.parametrize("stamp", [[], [1], [1, 2, 3, 4], ["a"] * 5], ids=repr)
def test_damaged_stamp_is_ignored(tmp_path: Path, stamp: stamps.Stamp) -> None:
    """A stamp that is no stamp costs one reading."""
    path = tmp_path / "a"
    path.write_text("1")
    found = stamps.Stamps({str(path): stamp})
    assert found.digest(str(path), path.stat()) == hashlib.sha256(b"1").hexdigest()


def test_merged_keeps_what_was_not_asked(tmp_path: Path) -> None:
    """Knowledge about other files is kept where only some were looked at."""
    path = tmp_path / "a"
    path.write_text("1")
    found = stamps.Stamps({"/elsewhere": [1, 2, 3, 4, "x"]})
    found.digest(str(path), path.stat())
    assert found.merged().keys() == {"/elsewhere", str(path)}
    assert found.current.keys() == {str(path)}
