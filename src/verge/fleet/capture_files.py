"""Download pictures and results from S3 into a folder; what is there is not fetched again."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verge.fleet import aws, files
from verge.fleet.errors import FleetError

if TYPE_CHECKING:
    from verge.fleet.capture_places import Place

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in S3."""

    bucket: str
    key: str
    size: int


@dataclass
class Download:
    """What a download did, in captures."""

    fetched: int = 0
    present: int = 0
    """They were there before."""
    size: int = 0
    """Bytes that were fetched."""

    def describe(self) -> dict[str, int]:
        """Return it as a plain document."""
        return {"fetched": self.fetched, "present": self.present, "size": self.size}


@contextlib.contextmanager
def alone(folder: Path, report: files.Report) -> Iterator[None]:
    """Let one command at a time download into a folder; a second says so and waits."""
    with files.explained("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"Waiting for another download into {folder}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def fetch(
    account: aws.Account,
    pairs: Iterable[tuple[Stored, Stored]],
    places: Sequence[Place],
    folder: Path,
    pool: concurrent.futures.Executor,
    download: Download,
) -> None:
    """Bring pictures and their results into `folder/DEVICE/DAY`, as they are named in S3.

    The picture is there before its result, and each appears whole. Raises FleetError.
    """
    bases = {(place.bucket, place.base) for place in places}

    def bring(pair: tuple[Stored, Stored]) -> list[int]:
        sizes = [_bring(account, item, folder / _name(item, bases)) for item in pair]
        return [size for size in sizes if size is not None]

    work = [pool.submit(bring, pair) for pair in pairs]
    try:
        for future in work:
            sizes = future.result()
            download.size += sum(sizes)
            download.fetched += bool(sizes)
            download.present += not sizes
    except BaseException:
        for future in work:
            future.cancel()
        raise


def _name(item: Stored, bases: Iterable[tuple[str, str]]) -> str:
    """Return the path below the folder: the key without its prefix."""
    fitting = [b for bucket, b in bases if bucket == item.bucket and item.key.startswith(b)]
    return item.key.removeprefix(max(fitting, key=len))


def _bring(account: aws.Account, item: Stored, target: Path) -> int | None:
    """Fetch one object unless it is there; return the bytes that came, None if none had to.

    Keys follow from their content (device, time, id), so the same size means the same object.
    """
    with files.explained("write", target):
        if target.is_file() and target.stat().st_size == item.size:
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        with aws.explained():
            answer = account.client("s3").get_object(Bucket=item.bucket, Key=item.key)
            arrived = _store(answer["Body"], part)
        if arrived != item.size:
            raise FleetError(
                f"cannot download {item.key}: {arrived} bytes came of {item.size}",
                "repeat the command; it goes on where it stopped",
            )
        part.replace(target)
    return arrived


def _store(body: Any, part: Path) -> int:
    arrived = 0
    with part.open("wb") as file:
        for chunk in body.iter_chunks(_CHUNK):
            arrived += file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return arrived
