"""Zip archives: the same content gives the same bytes, and none that escapes is let through."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from verge.fleet.errors import FleetError
from verge.fleet.files import explained

if TYPE_CHECKING:
    from collections.abc import Iterable

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
CREATED_ON_UNIX = 3
_CHUNK = 1 << 20


def write_zip(target: Path, members: Iterable[tuple[str, Path, bool, str]]) -> None:
    """Write a zip of `members`: name in the archive, file, whether it is executable, SHA-256 (hex).

    Members are sorted by name and stored uncompressed with one fixed time and mode 0644 or 0755, so
    the bytes depend on names, content and executable bits alone. Deflate would tie them to the
    version of zlib on this machine, and models, the bulk of what is shipped, hardly shrink. A file
    whose content no longer has the given digest is refused.
    """
    with explained("write", target), zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, source, executable, digest in sorted(members, key=lambda member: member[0]):
            _add(archive, name, source, executable, digest)


def _add(archive: zipfile.ZipFile, name: str, source: Path, executable: bool, digest: str) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.create_system = CREATED_ON_UNIX
    entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    found = hashlib.sha256()
    with source.open("rb") as stream:
        entry.file_size = source.stat().st_size  # decides whether 64-bit sizes are needed
        with archive.open(entry, "w") as out:
            while chunk := stream.read(_CHUNK):
                found.update(chunk)
                out.write(chunk)
    if found.hexdigest() != digest:
        raise FleetError(f"cannot archive {source}: it changed meanwhile", "run the command again")


def check_zip(path: Path, place: str) -> None:
    """Refuse an archive that a device would refuse or that would write outside its own folder.

    `place` is how messages name the archive. Refused are entries with an absolute path, a drive, a
    backslash or `..`, links, names that occur twice, and files that are no zip (Greengrass contract
    1.6: entries that escape the target directory are refused).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise FleetError(f"cannot use {place}: it is not a zip archive ({error})") from error
    except OSError as error:
        raise FleetError(f"cannot read {place}: {error.strerror}") from error
    seen: set[str] = set()
    for entry in entries:
        fault = _fault(entry)
        if fault is None and entry.filename in seen:
            fault = "occurs twice"
        if fault:
            raise FleetError(
                f"cannot use {place}: its entry {entry.orig_filename!r} {fault}",
                "make the archive again with plain relative names",
            )
        seen.add(entry.filename)


def _fault(entry: zipfile.ZipInfo) -> str | None:
    name = entry.orig_filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if name.startswith("/") or name[1:2] == ":":
        return "has an absolute path"
    if ".." in name.replace("\\", "/").split("/"):
        return "escapes its folder"
    if "\\" in name or "\0" in name or not name:
        return "has a name that systems read differently"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is neither a file nor a folder"
    return None
