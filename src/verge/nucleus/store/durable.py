"""Changes of files that are complete or have not happened, whenever the process ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from verge.nucleus import faults

SYNC_ALL_ABOVE = 64
"""Files above which one sync of the whole system is quicker than one for each file."""


def write_atomically(file: Path, text: str, mode: int, group: int | None = None) -> None:
    """Replace a file's content in one step; its group is one's own, or the given one.

    Raises PermissionError, having changed nothing, if files cannot be given to the group.
    """
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".")
    try:
        with open(handle, "w", encoding="utf-8") as opened:  # noqa: PTH123 - a descriptor
            if group is not None:
                os.fchown(handle, -1, group)
            opened.write(text)
            os.fchmod(handle, mode)
            opened.flush()
            os.fsync(handle)
        faults.write_point()
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    faults.write_point()


def tree_size(top: Path) -> int:
    """Return the bytes of all files of a tree."""
    return sum(
        os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size
        for _, _, files, descriptor in os.fwalk(top)
        for name in files
    )


def sync(files: Sequence[Path], top: Path) -> None:
    """Bring the files and all directories below the top to the disk."""
    if len(files) > SYNC_ALL_ABOVE:
        os.sync()
        return
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    for directory, _, _ in os.walk(top):
        sync_directory(Path(directory))


def sync_directory(directory: Path) -> None:
    """Bring a directory's entries to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def point(link: Path, target: str) -> None:
    """Make a path a link to a target, in one step even where it points elsewhere now."""
    if link.is_symlink() and os.readlink(link) == target:  # noqa: PTH115 - compared as text
        return
    link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if link.is_dir() and not link.is_symlink():
        remove(link)
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    faults.write_point()
    fresh.replace(link)
    faults.write_point()


def read(file: Path) -> str | None:
    """Return the text of a file, None if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def grandchildren(top: Path) -> list[Path]:
    """Return what lies in the directories of a directory."""
    return [path for child in top.iterdir() if child.is_dir() for path in child.iterdir()]


def remove(path: Path) -> None:
    """Remove a file or a tree, if it is there."""
    faults.write_point()
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
