"""Passwords for the debug console."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from verge.nucleus.debug import passwords
from verge.nucleus.store import database

NOW = 1_000_000.0


class Clock:
    """A time that a test sets."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[database.Database]:
    opened = database.Database(tmp_path / "db")
    yield opened
    opened.close()


async def test_valid_for_eight_hours(db: database.Database, clock: Clock) -> None:
    """A password is its user's for eight hours, and survives a restart (contract 3.9)."""
    made = await passwords.DebugPasswords(db, clock).create()
    assert (made.user, made.expires) == ("debug", NOW + 8 * 3600)
    again = passwords.DebugPasswords(db, clock)
    assert again.verify("debug", made.password)
    clock.now = made.expires - 1
    assert again.verify("debug", made.password)
    clock.now = made.expires
    assert not again.verify("debug", made.password)


async def test_wrong_ones(db: database.Database) -> None:
    """Neither another user nor another password is taken, nor any before there is one."""
    kept = passwords.DebugPasswords(db)
    assert not kept.verify("debug", "")
    made = await kept.create()
    assert not kept.verify("root", made.password)
    assert not kept.verify("debug", made.password[:-1])
    assert not kept.verify("debug", "")


async def test_no_password_is_kept(db: database.Database, tmp_path: Path) -> None:
    """The database holds hashes alone."""
    made = await passwords.DebugPasswords(db).create()
    kept = [(tmp_path / name).read_bytes() for name in ("db", "db-wal")]
    assert not any(made.password.encode() in content for content in kept)


async def test_bounded(db: database.Database, clock: Clock) -> None:
    """Those that expired go, and of too many the one that expires first."""
    kept = passwords.DebugPasswords(db, clock)
    first = await kept.create()
    clock.now += 1
    made = await asyncio.gather(*(kept.create() for _ in range(passwords.MOST)))
    assert not kept.verify("debug", first.password)
    assert all(kept.verify("debug", each.password) for each in made)
    clock.now += 9 * 3600
    await kept.create()
    assert db.rows("SELECT count(*) FROM debug_passwords") == [(1,)]
