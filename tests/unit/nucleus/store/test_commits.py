"""Writes that share a commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from verge.nucleus import errors
from verge.nucleus.store import database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[database.Database]:
    opened = database.Database(tmp_path / "db")
    opened.execute("CREATE TABLE notes (text TEXT PRIMARY KEY)")
    yield opened
    opened.close()


def stored(db: database.Database) -> list[str]:
    """Return what another process would find."""
    with sqlite3.connect(db.file) as other:
        found = [text for (text,) in other.execute("SELECT text FROM notes ORDER BY text")]
    other.close()
    return found


def note(db: database.Database, text: str) -> str:
    db.execute("INSERT INTO notes VALUES (?)", text)
    return text


async def test_one_commit_for_all_that_write_at_once(
    db: database.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty-two writers share one transaction; each is answered when its write is on disk."""
    transactions = 0
    real = database.Database.transaction

    def counted(self: database.Database) -> object:
        nonlocal transactions
        transactions += 1
        return real(self)

    monkeypatch.setattr(database.Database, "transaction", counted)

    async def write(number: int) -> None:
        assert await db.commits.write(lambda: note(db, str(number))) == str(number)
        assert str(number) in stored(db)

    await asyncio.gather(*map(write, range(32)))
    assert transactions == 1


async def test_failing_work_fails_alone(db: database.Database) -> None:
    """What one work raises undoes its own writes and reaches its writer; the others go on."""

    def failing() -> None:
        note(db, "half")
        raise ValueError("no")

    first, second, third = await asyncio.gather(
        db.commits.write(lambda: note(db, "a")),
        db.commits.write(failing),
        db.commits.write(lambda: note(db, "b")),
        return_exceptions=True,
    )
    assert (first, third) == ("a", "b")
    assert isinstance(second, ValueError)
    assert stored(db) == ["a", "b"]


async def test_disk_that_fails_undoes_all(db: database.Database) -> None:
    """If the transaction fails, every writer learns it and memory is as it was, newest first."""
    undone: list[str] = []

    def broken() -> str:
        note(db, "a")  # is there already
        return "never"

    outcomes = await asyncio.gather(
        db.commits.write(lambda: note(db, "a"), undone.append),
        db.commits.write(lambda: note(db, "b"), undone.append),
        db.commits.write(broken, undone.append),
        return_exceptions=True,
    )
    assert [type(each) for each in outcomes] == [errors.StoreError] * 3
    assert undone == ["b", "a"]
    assert stored(db) == []
    assert await db.commits.write(lambda: note(db, "c")) == "c"


async def test_writer_that_gave_up(db: database.Database) -> None:
    """A writer that no longer waits keeps nobody from an answer."""
    gone = asyncio.ensure_future(db.commits.write(lambda: note(db, "gone")))
    await asyncio.sleep(0)
    gone.cancel()
    assert await db.commits.write(lambda: note(db, "here")) == "here"
    assert gone.cancelled()
