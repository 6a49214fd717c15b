"""Opens the database; a damaged one is kept aside and replaced by the last good backup."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from verge.nucleus import errors
from verge.nucleus.store import database, state


@dataclass(frozen=True)
class Opened:
    """An open database and the device state in it."""

    db: database.Database
    loaded: state.DeviceState
    notice: str = ""
    """What was lost and where the damaged file lies; empty if nothing was damaged."""


def open_database(file: Path) -> Opened:
    """Open the database of a nucleus root. Raises StoreError, saying what to do."""
    try:
        return _open(file)
    except database.DamagedError as error:
        backup = database.backup_of(file)
        if not backup.is_file():
            raise errors.StoreError(
                f"{error}; there is no backup yet, so move it away and deploy again"
            ) from error
        return _recover(file, backup, error)


def _recover(file: Path, backup: Path, damage: Exception) -> Opened:
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(backup.stat().st_mtime))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = file.with_name(f"{file.name}.damaged-{stamp}")
    try:
        file.replace(aside)
        for suffix in ("-wal", "-shm"):
            beside = file.with_name(file.name + suffix)
            if beside.exists():
                beside.replace(aside.with_name(aside.name + suffix))
        _copy(backup, file)
    except OSError as error:
        raise errors.StoreError(f"{damage}; cannot restore {backup}: {error}") from error
    opened = _open(file)
    notice = (
        f"{damage}. It was kept at {aside} and replaced by the backup of {made}; what components "
        "wrote into their configuration since then is lost"
    )
    return Opened(opened.db, opened.loaded, notice)


def _open(file: Path) -> Opened:
    db = database.Database(file)
    try:
        return Opened(db, state.StateStore(db).load())
    except BaseException:
        db.close()
        raise


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that the target is whole whenever it is there."""
    staged = target.with_name(f"{target.name}.new")
    staged.write_bytes(source.read_bytes())
    staged.chmod(0o600)
    descriptor = os.open(staged, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    staged.replace(target)
