"""The database file."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from verge.nucleus import errors
from verge.nucleus.store import database

NORMAL, FULL = 1, 2
"""What SQLite's `PRAGMA synchronous` answers."""


def test_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """An error inside a transaction undoes everything, nested parts included."""
    with contextlib.closing(database.Database(tmp_path / "db")) as db:
        with pytest.raises(RuntimeError):
            _write_and_fail(db)
        assert db.rows("SELECT * FROM roots") == []


def test_content_survives(tmp_path: Path) -> None:
    """What was committed is there when the file is opened again."""
    with contextlib.closing(database.Database(tmp_path / "db")) as db:
        db.execute("INSERT INTO roots VALUES ('g', 'c', '1.0.0')")
    with contextlib.closing(database.Database(tmp_path / "db")) as db:
        assert db.rows("SELECT * FROM roots") == [("g", "c", "1.0.0")]


def test_file_is_private(tmp_path: Path) -> None:
    """Configuration may hold secrets, so only the nucleus reads it."""
    with contextlib.closing(database.Database(tmp_path / "db")):
        assert (tmp_path / "db").stat().st_mode & 0o777 == 0o600


def test_newer_format_is_refused(tmp_path: Path) -> None:
    """A file of a later nucleus is not touched."""
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as raw:
        raw.execute("PRAGMA user_version=99")
    with pytest.raises(errors.StoreError, match="has format 99"):
        database.Database(tmp_path / "db")


def test_full_disk_is_explained(tmp_path: Path) -> None:
    """A write for which there is no room raises our error and leaves the file usable."""
    with contextlib.closing(database.Database(tmp_path / "db")) as db:
        (pages,) = db.rows("PRAGMA page_count")[0]
        db.execute(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(errors.StoreError, match="full"), db.transaction():
            db.execute("INSERT INTO configuration VALUES ('a', zeroblob(1000000))")
        db.execute("INSERT INTO roots VALUES ('g', 'c', '1.0.0')")
        assert db.rows("SELECT component FROM configuration") == []


def test_only_what_asks_for_it_spares_the_sync(tmp_path: Path) -> None:
    """Every other transaction waits for the disk, also after one that failed unsynced."""
    with contextlib.closing(database.Database(tmp_path / "db")) as db:
        with db.transaction(synced=False):
            db.execute("INSERT INTO roots VALUES ('g', 'kept', '1.0.0')")
            assert _syncing(db) == NORMAL
        assert _syncing(db) == FULL
        with pytest.raises(RuntimeError), db.transaction(synced=False):
            _write_and_fail(db)
        assert _syncing(db) == FULL
        with db.transaction(), db.transaction(synced=False):
            assert _syncing(db) == FULL, "the outer one waits for the disk"
        assert db.rows("SELECT component FROM roots") == [("kept",)]


def _syncing(db: database.Database) -> int:
    ((found,),) = db.rows("PRAGMA synchronous")
    return int(found)


def _write_and_fail(db: database.Database) -> None:
    with db.transaction():
        with db.transaction():
            db.execute("INSERT INTO roots VALUES ('g', 'c', '1.0.0')")
        raise RuntimeError


def test_former_format_is_upgraded(tmp_path: Path) -> None:
    """A database of the format before gets what is new and keeps its content."""
    with contextlib.closing(database.Database(tmp_path / "db")) as db:
        db.execute("INSERT INTO deployments (id, phase, document) VALUES ('i', 'DONE', 'd')")
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as raw:
        raw.execute("ALTER TABLE deployments DROP COLUMN target")
        raw.execute("PRAGMA user_version=1")
    with contextlib.closing(database.Database(tmp_path / "db")) as db:
        assert db.rows("SELECT id, target FROM deployments") == [("i", None)]
