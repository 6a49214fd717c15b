"""Objects: rows that say what is where, and their bytes in blobs. Knows nothing of HTTP."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from verge.cloud import database, errors
from verge.cloud.objects import blobs

_log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects_object (
    id INTEGER PRIMARY KEY,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified REAL NOT NULL,
    sha256 BLOB,
    upload TEXT,
    attributes TEXT NOT NULL,
    tags TEXT NOT NULL,
    UNIQUE (bucket, key)
);
CREATE TABLE IF NOT EXISTS objects_segment (
    object INTEGER NOT NULL REFERENCES objects_object (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (object, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects_upload (
    id TEXT PRIMARY KEY,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    started REAL NOT NULL,
    attributes TEXT NOT NULL,
    tags TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects_part (
    upload TEXT NOT NULL REFERENCES objects_upload (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified REAL NOT NULL,
    checksum TEXT,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
"""

_SAME = "id = ? AND modified = ?"
"""The id of an object that has gone may be given to the next one."""

Tags = Mapping[str, str]


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """What comes back with an object: headers and user metadata by lower-case name."""

    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    algorithm: str | None = None
    checksum: str | None = None
    checksum_type: str = "FULL_OBJECT"


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """A stored object; `modified` in seconds since the epoch, `size` in bytes."""

    id: int
    bucket: str
    key: str
    size: int
    etag: str
    modified: float
    attributes: Attributes
    tags: dict[str, str]
    upload: str | None


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that are on disk and about to become an object."""

    segments: tuple[blobs.Segment, ...]
    etag: str
    sha256: bytes | None = None
    upload: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)


class Store:
    """Puts, finds and deletes objects in any bucket."""

    def __init__(
        self, *, rows: database.Database, directory: Path, now: Callable[[], float] = time.time
    ) -> None:
        self._rows = rows
        self._now = now
        self.blobs = blobs.Blobs(directory)
        known = {
            row["blob"]
            for row in rows.all(
                "SELECT blob FROM objects_segment UNION ALL SELECT blob FROM objects_part"
            )
        }
        if strays := self.blobs.sweep(known):
            _log.info("Unfinished uploads removed files=%d", strays)

    def find(self, bucket: str, key: str) -> Object | None:
        """Return an object, or None."""
        row = self._rows.one(
            "SELECT * FROM objects_object WHERE bucket = ? AND key = ?", (bucket, key)
        )
        return None if row is None else as_object(row)

    def segments(self, stored: Object) -> list[blobs.Segment]:
        """Return where the bytes of an object are, in order."""
        rows = self._rows.all(
            "SELECT blob, size FROM objects_segment WHERE object = ? ORDER BY number", (stored.id,)
        )
        return [blobs.Segment(row["blob"], row["size"]) for row in rows]

    def read(self, bucket: str, key: str) -> tuple[Object, io.BufferedReader] | None:
        """Return an object and its bytes, as of the same moment."""
        with self._rows.transaction():
            stored = self.find(bucket, key)
            return None if stored is None else (stored, self.blobs.open(self.segments(stored)))

    def put(
        self,
        bucket: str,
        key: str,
        content: Content,
        *,
        attributes: Attributes,
        tags: Tags,
        allowed: Callable[[Object | None], None] | None = None,
    ) -> Object:
        """Let a key have this content; `allowed` may object to what is there by raising."""
        try:
            with self._rows.transaction():
                stored, old = self.exchange(
                    bucket, key, content, attributes=attributes, tags=tags, allowed=allowed
                )
        except BaseException:
            self.blobs.discard(segment.blob for segment in content.segments)
            raise
        self.blobs.discard(old)
        return stored

    def exchange(
        self,
        bucket: str,
        key: str,
        content: Content,
        *,
        attributes: Attributes,
        tags: Tags,
        allowed: Callable[[Object | None], None] | None = None,
    ) -> tuple[Object, list[str]]:
        """Do what `put` does in the transaction of the caller.

        Returns also the blobs that were there, to be discarded after the commit and not before.
        """
        previous = self.find(bucket, key)
        if allowed is not None:
            allowed(previous)
        old = self._remove(previous)
        self._insert(bucket, key, content, attributes, tags)
        return self._found(bucket, key), old

    def delete(self, bucket: str, key: str) -> bool:
        """Delete an object; return whether there was one."""
        with self._rows.transaction():
            stored = self.find(bucket, key)
            old = self._remove(stored)
        self.blobs.discard(old)
        return stored is not None

    def tag(self, stored: Object, tags: Tags) -> None:
        """Replace the tags of an object."""
        self._rows.execute(
            "UPDATE objects_object SET tags = ? WHERE id = ?", (json.dumps(dict(tags)), stored.id)
        )

    def empty(self, bucket: str) -> bool:
        """Whether a bucket holds no object."""
        return (
            self._rows.one("SELECT 1 FROM objects_object WHERE bucket = ? LIMIT 1", (bucket,))
            is None
        )

    def digest(self, stored: Object) -> bytes:
        """Return the SHA-256 of an object's bytes, computed at most once.

        Raises NotFoundError for an object that was deleted or replaced.
        """
        with self._rows.transaction():
            row = self._rows.one(
                f"SELECT sha256 FROM objects_object WHERE {_SAME}",  # noqa: S608 - written here
                (stored.id, stored.modified),
            )
            if row is None:
                raise _missing(stored.bucket, stored.key)
            if row["sha256"] is not None:
                return bytes(row["sha256"])
            opened = self.blobs.open(self.segments(stored))
        with opened as source:
            digest = hashlib.file_digest(source, "sha256").digest()
        self._rows.execute(
            f"UPDATE objects_object SET sha256 = ? WHERE {_SAME}",  # noqa: S608 - as above
            (digest, stored.id, stored.modified),
        )
        return digest

    def _found(self, bucket: str, key: str) -> Object:
        stored = self.find(bucket, key)
        if stored is None:
            raise _missing(bucket, key)
        return stored

    def _insert(
        self, bucket: str, key: str, content: Content, attributes: Attributes, tags: Tags
    ) -> None:
        self._rows.execute(
            "INSERT INTO objects_object "
            "(bucket, key, size, etag, modified, sha256, upload, attributes, tags) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                bucket,
                key,
                content.size,
                content.etag,
                self._now(),
                content.sha256,
                content.upload,
                msgspec.json.encode(attributes).decode(),
                json.dumps(dict(tags)),
            ),
        )
        self._rows.executemany(
            "INSERT INTO objects_segment (object, number, blob, size) VALUES "
            "((SELECT id FROM objects_object WHERE bucket = ? AND key = ?), ?, ?, ?)",
            [
                (bucket, key, number, segment.blob, segment.size)
                for number, segment in enumerate(content.segments)
            ],
        )

    def _remove(self, stored: Object | None) -> list[str]:
        if stored is None:
            return []
        names = [segment.blob for segment in self.segments(stored)]
        self._rows.execute("DELETE FROM objects_object WHERE id = ?", (stored.id,))
        return names


def as_object(row: database.Row) -> Object:
    """Return the object of a row of `objects_object`."""
    return Object(
        id=row["id"],
        bucket=row["bucket"],
        key=row["key"],
        size=row["size"],
        etag=row["etag"],
        modified=row["modified"],
        attributes=msgspec.json.decode(row["attributes"], type=Attributes),
        tags=json.loads(row["tags"]),
        upload=row["upload"],
    )


def _missing(bucket: str, key: str) -> errors.NotFoundError:
    return errors.NotFoundError(f"cannot find s3://{bucket}/{key}: no such object")
