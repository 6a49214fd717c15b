"""Multipart uploads: parts arrive in any order and again; completing one copies no byte."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from verge.cloud import database
from verge.cloud.objects import blobs, checksums, faults, store

MIN_PART = 5 * 1024 * 1024
MAX_PARTS = 10_000


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that has begun; `started` in seconds since the epoch."""

    id: str
    bucket: str
    key: str
    started: float
    attributes: store.Attributes
    tags: dict[str, str]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part that is on disk; `size` in bytes, `modified` in seconds since the epoch."""

    number: int
    blob: str
    size: int
    etag: str
    modified: float
    checksum: str | None


class Wanted(NamedTuple):
    """A part as the client names it when it completes the upload."""

    number: int
    etag: str
    checksum: str | None = None


class Uploads:
    """The uploads that are neither complete nor aborted."""

    def __init__(
        self,
        *,
        rows: database.Database,
        objects: store.Store,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._rows = rows
        self._store = objects
        self._now = now

    def create(
        self, bucket: str, key: str, attributes: store.Attributes, tags: store.Tags
    ) -> Upload:
        """Begin an upload."""
        upload = Upload(
            id=secrets.token_urlsafe(48),
            bucket=bucket,
            key=key,
            started=self._now(),
            attributes=attributes,
            tags=dict(tags),
        )
        self._rows.execute(
            "INSERT INTO objects_upload VALUES (?, ?, ?, ?, ?, ?)",
            (
                upload.id,
                bucket,
                key,
                upload.started,
                msgspec.json.encode(attributes).decode(),
                json.dumps(upload.tags),
            ),
        )
        return upload

    def find(self, bucket: str, key: str, upload_id: str) -> Upload:
        """Return an upload. Raises FaultError."""
        row = self._rows.one(
            "SELECT * FROM objects_upload WHERE id = ? AND bucket = ? AND key = ?",
            (upload_id, bucket, key),
        )
        if row is None:
            raise faults.FaultError(
                "NoSuchUpload",
                "The specified upload does not exist. The upload ID may be invalid, or the upload "
                "may have been aborted or completed.",
            )
        return _upload(row)

    def in_bucket(self, bucket: str, prefix: str = "") -> list[Upload]:
        """Return the uploads whose keys begin with a prefix, by key."""
        rows = self._rows.all(
            "SELECT * FROM objects_upload WHERE bucket = ? AND substr(key, 1, ?) = ? "
            "ORDER BY key, started",
            (bucket, len(prefix), prefix),
        )
        return [_upload(row) for row in rows]

    def parts(self, upload: Upload) -> list[Part]:
        """Return the parts that have arrived, by number."""
        rows = self._rows.all(
            "SELECT number, blob, size, etag, modified, checksum FROM objects_part "
            "WHERE upload = ? ORDER BY number",
            (upload.id,),
        )
        return [Part(**dict(row)) for row in rows]

    def keep(
        self, upload: Upload, number: int, segment: blobs.Segment, etag: str, checksum: str | None
    ) -> Part:
        """Let a part be these bytes, also if it has arrived before."""
        part = Part(
            number=number,
            blob=segment.blob,
            size=segment.size,
            etag=etag,
            modified=self._now(),
            checksum=checksum,
        )
        with self._rows.transaction():
            self.find(upload.bucket, upload.key, upload.id)  # it may be over by now
            old = self._rows.one(
                "SELECT blob FROM objects_part WHERE upload = ? AND number = ?",
                (upload.id, number),
            )
            self._rows.execute(
                "INSERT OR REPLACE INTO objects_part VALUES (?, ?, ?, ?, ?, ?, ?)",
                (upload.id, number, part.blob, part.size, etag, part.modified, checksum),
            )
        if old is not None:
            self._store.blobs.discard([old["blob"]])
        return part

    def complete(
        self,
        upload: Upload,
        wanted: Sequence[Wanted],
        allowed: Callable[[store.Object | None], None] | None = None,
    ) -> store.Object:
        """Make the object of the parts named. Raises FaultError."""
        with self._rows.transaction():
            self.find(upload.bucket, upload.key, upload.id)
            present = self.parts(upload)
            chosen = _choose(wanted, {part.number: part for part in present})
            stored, old = self._store.exchange(
                upload.bucket,
                upload.key,
                store.Content(
                    segments=tuple(blobs.Segment(part.blob, part.size) for part in chosen),
                    etag=_etag(chosen),
                    upload=upload.id,
                ),
                attributes=self._attributes(upload.attributes, chosen),
                tags=upload.tags,
                allowed=allowed,
            )
            self._rows.execute("DELETE FROM objects_upload WHERE id = ?", (upload.id,))
        unused = {part.blob for part in present} - {part.blob for part in chosen}
        self._store.blobs.discard([*old, *unused])
        return stored

    def abort(self, upload: Upload) -> None:
        """Forget an upload and its parts."""
        with self._rows.transaction():
            names = [part.blob for part in self.parts(upload)]
            self._rows.execute("DELETE FROM objects_upload WHERE id = ?", (upload.id,))
        self._store.blobs.discard(names)

    def _attributes(self, attributes: store.Attributes, parts: Sequence[Part]) -> store.Attributes:
        algorithm = attributes.algorithm
        if algorithm is None or any(part.checksum is None for part in parts):
            return attributes
        if attributes.checksum_type == "COMPOSITE":
            total = checksums.composite(algorithm, [str(part.checksum) for part in parts])
        else:
            digests = checksums.Digests(algorithm)
            buffer = memoryview(bytearray(blobs.BLOCK))
            with self._store.blobs.open(
                [blobs.Segment(part.blob, part.size) for part in parts]
            ) as source:
                while count := source.readinto(buffer):
                    digests.update(buffer[:count])
            total = str(digests.checksum)
        return msgspec.structs.replace(attributes, checksum=total)


def _choose(wanted: Sequence[Wanted], present: dict[int, Part]) -> list[Part]:
    if not wanted or len(wanted) > MAX_PARTS:
        raise faults.FaultError("MalformedXML", "name 1 to 10,000 parts")
    if [each.number for each in wanted] != sorted({each.number for each in wanted}):
        raise faults.FaultError(
            "InvalidPartOrder", "The list of parts was not in ascending order by part number."
        )
    chosen = []
    for each in wanted:
        part = present.get(each.number)
        if (
            part is None
            or part.etag != each.etag.strip('"')
            or (each.checksum is not None and each.checksum != part.checksum)
        ):
            raise faults.FaultError(
                "InvalidPart",
                f"Part {each.number} has not arrived, or its entity tag or checksum differs.",
            )
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < MIN_PART:
            raise faults.FaultError(
                "EntityTooSmall",
                f"Part {part.number} has {part.size} bytes; all but the last need {MIN_PART}.",
            )
    return chosen


def _etag(parts: Sequence[Part]) -> str:
    total = hashlib.md5(usedforsecurity=False)
    for part in parts:
        total.update(bytes.fromhex(part.etag))
    return f"{total.hexdigest()}-{len(parts)}"


def _upload(row: database.Row) -> Upload:
    return Upload(
        id=row["id"],
        bucket=row["bucket"],
        key=row["key"],
        started=row["started"],
        attributes=msgspec.json.decode(row["attributes"], type=store.Attributes),
        tags=json.loads(row["tags"]),
    )
