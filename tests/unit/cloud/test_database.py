"""The local cloud's SQLite file."""

from __future__ import annotations

import contextlib
import sqlite3
from concurrent import futures
from pathlib import Path

import pytest

from verge.cloud import database, errors

SCHEMA = "CREATE TABLE IF NOT EXISTS part_rows (value TEXT)"


def opened(path: Path, *schemas: str) -> contextlib.closing[database.Database]:
    return contextlib.closing(database.Database(path, schemas or (SCHEMA,)))


def test_what_was_committed_is_there_again(tmp_path: Path) -> None:
    """A block commits all of its statements or none, nested blocks together."""
    with opened(tmp_path / "db") as db:
        with db.transaction(), db.transaction():
            db.execute("INSERT INTO part_rows VALUES (?)", ("kept",))
        with contextlib.suppress(RuntimeError), db.transaction():
            db.execute("INSERT INTO part_rows VALUES (?)", ("undone",))
            raise RuntimeError
    with opened(tmp_path / "db") as db:
        assert [row["value"] for row in db.all("SELECT value FROM part_rows")] == ["kept"]


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    """Other tables mean another version; the next step is said, and nothing is changed."""
    with opened(tmp_path / "db"):
        pass
    with pytest.raises(errors.StateError, match=r"another version .* `./inv cloud --reset`"):
        opened(tmp_path / "db", SCHEMA, "CREATE TABLE IF NOT EXISTS other_rows (value TEXT)")
    with opened(tmp_path / "db"):
        pass


def test_a_file_from_before_versions_is_refused(tmp_path: Path) -> None:
    """A file that does not say what made it is another version's."""
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as former:
        former.execute("CREATE TABLE part_rows (value INTEGER)")
    with pytest.raises(errors.StateError, match="another version"):
        opened(tmp_path / "db")


def test_a_first_start_that_was_cut_off(tmp_path: Path) -> None:
    """A start that ended before all tables were made leaves a file that the next one completes."""
    with pytest.raises(errors.StateError, match="cannot open"):
        opened(tmp_path / "db", SCHEMA, "CREATE TABLE cut off")
    with opened(tmp_path / "db", SCHEMA, "CREATE TABLE IF NOT EXISTS more (value TEXT)") as db:
        assert db.all("SELECT * FROM more") == []


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    """Garbage in place of the file is an error with its path."""
    (tmp_path / "db").write_bytes(b"garbage" * 1000)
    with pytest.raises(errors.StateError, match=r"cannot open .*db"):
        opened(tmp_path / "db")


def test_rows_as_one_document(tmp_path: Path) -> None:
    """`listed` keeps order, texts, empty values and times to the microsecond."""
    made = database.Database(tmp_path / "cloud.db", ["CREATE TABLE IF NOT EXISTS t (a, b, c)"])
    rows = [("é\"'\n", 1_700_000_000.123457, 2**60), ("", None, -1), ("z", 0.0, 0)]
    made.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    found = made.listed("SELECT * FROM t ORDER BY a DESC LIMIT ?", ["c", "a", "b"], [2])
    assert [each["a"] for each in found] == ["é\"'\n", "z"]
    assert found[0]["c"] == 2**60
    assert found[0]["b"] == pytest.approx(1_700_000_000.123457, abs=1e-5)
    assert list(found[1].values()) == [0, "z", 0.0]
    assert made.listed("SELECT * FROM t WHERE a = ?", ["a"], ["none"]) == []
    made.close()


def test_a_list_waits_for_no_transaction(tmp_path: Path) -> None:
    """While a thread writes, others list what was committed, and itself what it has written."""
    with opened(tmp_path / "db") as db, futures.ThreadPoolExecutor(1) as other:
        query = "SELECT value FROM part_rows"
        db.execute("INSERT INTO part_rows VALUES (?)", ("old",))
        with db.transaction():
            db.execute("INSERT INTO part_rows VALUES (?)", ("new",))
            assert [row["value"] for row in db.listed(query, ["value"])] == ["old", "new"]
            seen = other.submit(db.listed, query, ["value"]).result(timeout=10)
            assert [row["value"] for row in seen] == ["old"]
        seen = other.submit(db.listed, query, ["value"]).result(timeout=10)
        assert [row["value"] for row in seen] == ["old", "new"]
