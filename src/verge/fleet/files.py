"""Files and folders that appear whole or not at all, and locks that name their holder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verge.fleet.errors import FleetError, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Report = Callable[[str], object]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def silent(_line: str) -> None:
    """Take a progress line and drop it."""


@contextlib.contextmanager
def explained(verb: str, path: Path) -> Iterator[None]:
    """Turn an operating system error inside into "cannot <verb> <path>: <reason>"."""
    try:
        yield
    except OSError as error:
        place = error.filename or path
        raise FleetError(f"cannot {verb} {place}: {describe(error)}", _next_step(error)) from error


def _next_step(error: OSError) -> str | None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space and run the command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make it writable for this user and run the command again"
    return None


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader, or a crash, sees the old file or the new one."""
    with explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}.new")
        try:
            scratch.write_bytes(data)
            scratch.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                scratch.unlink()
            raise


def write_json(path: Path, document: object, *, indent: int | None = None) -> None:
    """Write `document` as JSON, atomically."""
    separators = None if indent else (",", ":")
    text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=False)
    write_atomic(path, text.encode() + b"\n")


def read_state(path: Path) -> dict[str, Any]:
    """Return the JSON object in a state file, or an empty one if it is absent or damaged.

    For caches only: what they hold can be worked out again.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


@contextlib.contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """Give an empty folder under `parent/staging`, which is gone afterwards whatever happened.

    Call it with the lock of `parent` held: what a killed command left there is cleared first.
    """
    area = parent / "staging"
    folder = area / str(os.getpid())
    with explained("write", area):
        if area.exists():
            shutil.rmtree(area)
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(area, ignore_errors=True)


def put_folder(new: Path, place: Path) -> None:
    """Put the folder `new` at `place` in one step; what was there ends up at `new`.

    Both have to lie on one file system. Where the kernel cannot exchange two folders, the old one
    is moved away first, so that a crash between the two steps leaves none, never half of one.
    """
    with explained("write", place):
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_dir():
            new.rename(place)
        elif not _exchange(new, place):
            aside = new.with_name(new.name + ".old")
            place.rename(aside)
            new.rename(place)
            aside.rename(new)


def _exchange(one: Path, other: Path) -> bool:
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    paths = os.fsencode(one), os.fsencode(other)
    if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(number, os.strerror(number), str(other))


@contextlib.contextmanager
def held(folder: Path, purpose: str, report: Report = silent) -> Iterator[int]:
    """Hold the lock of a state folder; while another command holds it, say who and wait.

    The kernel frees the lock when its holder ends, however it ends. The value is the descriptor of
    the lock: a child process that inherits it holds the lock, too.
    """
    path = folder / "lock"
    with explained("write", path):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with explained("lock", path):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report(f"Waiting for {_holder(descriptor)}")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            note = {"pid": os.getpid(), "purpose": purpose, "since": int(time.time())}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(note).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        since = time.strftime("%H:%M:%S", time.localtime(note["since"]))
        return f"{note['purpose']} of process {note['pid']}, under way since {since}"
    except (ValueError, KeyError, TypeError):
        return "another command that holds the lock"
