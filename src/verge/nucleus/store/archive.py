"""Unpacks ZIP artifacts: nothing escapes, nothing explodes, nothing stays half-done."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from verge.nucleus import errors
from verge.recipe import model

MAX_ENTRIES = 200_000
CHUNK = 1024 * 1024


class ArchiveError(errors.StoreError):
    """An archive cannot be unpacked."""


def unpacked_size(archive: Path) -> int:
    """Return the bytes that an archive unpacks to, as its directory says."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return sum(entry.file_size for entry in opened.infolist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ArchiveError(f"cannot read {archive.name} as a ZIP archive: {error}") from error


def unpack(archive: Path, target: Path, permission: model.Permission, limit: int) -> list[Path]:
    """Unpack into a new directory and return the files, written but not synced.

    Raises ArchiveError for an entry that would land outside, a link, a device, an encrypted or
    damaged entry, more entries than MAX_ENTRIES or more bytes than the limit.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            _check(archive.name, entries, limit)
            target.mkdir(mode=model.DIRECTORY_MODE)
            target.chmod(model.DIRECTORY_MODE)
            return [
                file
                for entry in entries
                if (file := _unpack_entry(opened, entry, target, permission))
            ]
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ArchiveError(f"cannot unpack {archive.name}: {error}") from error
    except (ValueError, NotImplementedError, RuntimeError) as error:
        # The library's own words for odd headers, unknown compression and encryption.
        raise ArchiveError(f"cannot unpack {archive.name}: {error}") from error


def _check(name: str, entries: list[zipfile.ZipInfo], limit: int) -> None:
    if len(entries) > MAX_ENTRIES:
        raise ArchiveError(
            f"cannot unpack {name}: it has {len(entries)} entries, {MAX_ENTRIES} is the most"
        )
    total = 0
    for entry in entries:
        _check_entry(name, entry)
        total += entry.file_size
    if total > limit:
        raise ArchiveError(
            f"cannot unpack {name}: it would take {total} bytes and there is room for {limit}"
        )


def _check_entry(name: str, entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or not path.parts:
        raise ArchiveError(
            f"cannot unpack {name}: its entry {entry.filename!r} would land outside the "
            "component's directory; build the archive again without it"
        )
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise ArchiveError(
            f"cannot unpack {name}: its entry {entry.filename!r} is neither a file nor a "
            "directory; build the archive again without links"
        )
    if entry.flag_bits & 0x1:
        raise ArchiveError(f"cannot unpack {name}: its entry {entry.filename!r} is encrypted")


def _unpack_entry(
    opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, permission: model.Permission
) -> Path | None:
    path = target / entry.filename
    directory = path if entry.is_dir() else path.parent
    _make_directories(directory, target)
    if entry.is_dir():
        return None
    with opened.open(entry) as source, path.open("xb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
    path.chmod(permission.file_mode)
    return path


def _make_directories(directory: Path, top: Path) -> None:
    if directory == top or directory.is_dir():
        return
    _make_directories(directory.parent, top)
    directory.mkdir(mode=model.DIRECTORY_MODE)
    directory.chmod(model.DIRECTORY_MODE)
