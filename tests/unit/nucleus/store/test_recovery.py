"""A damaged database and its backup."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from verge.nucleus import errors
from verge.nucleus.store import database, recovery


def garbage(file: Path) -> None:
    file.write_bytes(b"garbage" * 1000)


def torn(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3 :] = b"\xff" * (len(content) - len(content) // 3)
    file.write_bytes(content)


def unreadable_document(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("INSERT INTO components VALUES ('c', '{}')")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "nucleus.db"
    with contextlib.closing(database.Database(file)) as db:
        db.execute("INSERT INTO roots VALUES ('g', 'c', '1.0.0')")
        db.back_up()
        db.execute("INSERT INTO roots VALUES ('g', 'later', '1.0.0')")
    return file


@pytest.mark.parametrize("damage", [garbage, torn, unreadable_document])
def test_damaged_database_is_replaced(file: Path, damage: Callable[[Path], None]) -> None:
    """The last backup takes its place, and the message says so and where the former lies."""
    damage(file)
    content = file.read_bytes()
    opened = recovery.open_database(file)
    with contextlib.closing(opened.db):
        assert opened.loaded.roots == {"g": {"c": "1.0.0"}}
    (aside,) = file.parent.glob("nucleus.db.damaged-*Z")
    assert aside.read_bytes() == content
    assert str(aside) in opened.notice
    assert "replaced by the backup of" in opened.notice


def test_without_a_backup_it_says_what_to_do(file: Path) -> None:
    """A damaged database without a backup is left where it is."""
    database.backup_of(file).unlink()
    garbage(file)
    with pytest.raises(errors.StoreError, match="no backup yet, so move it away"):
        recovery.open_database(file)
    assert file.read_bytes() == b"garbage" * 1000


def test_sound_database_needs_no_notice(file: Path) -> None:
    """What is not damaged is opened as it is."""
    opened = recovery.open_database(file)
    with contextlib.closing(opened.db):
        assert opened.notice == ""
        assert set(opened.loaded.roots["g"]) == {"c", "later"}
