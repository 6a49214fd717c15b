"""Operations that write objects and parts of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import BinaryIO
from urllib.parse import unquote

import msgspec
from werkzeug.wrappers import Response

from verge.cloud import errors
from verge.cloud.objects import (
    blobs,
    call,
    checksums,
    conditions,
    content,
    documents,
    faults,
    store,
)


class Writing:
    """Writes to the store."""

    def __init__(self, *, objects: store.Store) -> None:
        self._store = objects

    def put(self, request: call.Call) -> Response:
        """PutObject."""
        request.require("s3:PutObject")
        request.check_key()
        conditions.check_write(request, self._store.find(request.bucket, request.key))
        attributes, tags = request.attributes(), request.tags()
        received = content.receive(request, self._store.blobs)
        stored = self._store.put(
            request.bucket,
            request.key,
            store.Content(segments=(received.segment,), etag=received.etag, sha256=received.sha256),
            attributes=msgspec.structs.replace(
                attributes, algorithm=received.algorithm, checksum=received.checksum
            ),
            tags=tags,
            allowed=lambda there: conditions.check_write(request, there),
        )
        return Response(headers={"ETag": f'"{stored.etag}"', **sum_headers(stored.attributes)})

    def copy(self, request: call.Call) -> Response:
        """CopyObject: the bytes are shared, not copied."""
        request.require("s3:PutObject")
        request.check_key()
        bucket, key = source_of(request)
        request.require("s3:GetObject", bucket, key)
        replaced = request.header("x-amz-metadata-directive") == "REPLACE"
        if (bucket, key) == (request.bucket, request.key) and not replaced:
            raise faults.FaultError(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself "
                "without changing the object's metadata.",
            )
        found = self._store.read(bucket, key)
        if found is None:
            raise request.missing(bucket, key)
        stored, opened = found
        with opened:  # keeps the blobs from being removed meanwhile
            conditions.check_read(request, stored, "x-amz-copy-source-if-")
            segments = tuple(self._store.blobs.link(self._store.segments(stored)))
        attributes = stored.attributes
        if replaced:
            attributes = msgspec.structs.replace(
                request.attributes(),
                algorithm=attributes.algorithm,
                checksum=attributes.checksum,
                checksum_type=attributes.checksum_type,
            )
        own_tags = request.header("x-amz-tagging-directive") == "REPLACE"
        digest = None  # of a source that has gone since; whoever needs it computes it
        with contextlib.suppress(errors.NotFoundError):
            digest = self._store.digest(stored)
        made = self._store.put(
            request.bucket,
            request.key,
            store.Content(segments=segments, etag=stored.etag, sha256=digest),
            attributes=attributes,
            tags=request.tags() if own_tags else stored.tags,
            allowed=lambda there: conditions.check_write(request, there),
        )
        return documents.response("CopyObjectResult", copied(made.etag, made.modified))

    def source(self, request: call.Call) -> io.BufferedReader:
        """Open what an UploadPartCopy reads. Raises FaultError."""
        bucket, key = source_of(request)
        request.require("s3:GetObject", bucket, key)
        found = self._store.read(bucket, key)
        if found is None:
            raise request.missing(bucket, key)
        stored, opened = found
        with contextlib.ExitStack() as stack:
            stack.enter_context(opened)
            conditions.check_read(request, stored, "x-amz-copy-source-if-")
            chosen = conditions.byte_range(request.header("x-amz-copy-source-range"), stored.size)
            stack.pop_all()
        if chosen is None:
            return opened
        opened.seek(chosen.start)
        return io.BufferedReader(_Limited(opened, chosen.end - chosen.start), blobs.BLOCK)

    def delete(self, request: call.Call) -> Response:
        """DeleteObject: what is not there is deleted, too."""
        request.require("s3:DeleteObject")
        self._store.delete(request.bucket, request.key)
        return Response(status=204)

    def delete_many(self, request: call.Call) -> Response:
        """DeleteObjects."""
        root = documents.parse(content.document(request))
        keys = [element.findtext("Key", "") for element in root.iterfind("Object")]
        if not 1 <= len(keys) <= 1000:
            raise faults.FaultError("MalformedXML", "Name 1 to 1,000 objects.")
        deleted: list[documents.Value] = []
        refused: list[documents.Value] = []
        for key in keys:
            try:
                request.require("s3:DeleteObject", name=key)
            except faults.FaultError as fault:
                refused.append({"Key": key, "Code": fault.code, "Message": fault.message})
                continue
            self._store.delete(request.bucket, key)
            deleted.append({"Key": key})
        quiet = root.findtext("Quiet") == "true"
        return documents.response(
            "DeleteResult", {"Deleted": None if quiet else deleted, "Error": refused}
        )

    def tag(self, request: call.Call) -> Response:
        """PutObjectTagging."""
        request.require("s3:PutObjectTagging")
        stored = self._store.find(request.bucket, request.key)
        if stored is None:
            raise request.missing()
        self._store.tag(stored, documents.tags(content.document(request)))
        return Response()

    def untag(self, request: call.Call) -> Response:
        """DeleteObjectTagging."""
        request.require("s3:DeleteObjectTagging")
        stored = self._store.find(request.bucket, request.key)
        if stored is None:
            raise request.missing()
        self._store.tag(stored, {})
        return Response(status=204)

    def acl(self, request: call.Call) -> Response:
        """PutObjectAcl: as for a bucket with ACLs disabled."""
        request.require("s3:PutObjectAcl")
        raise faults.FaultError("AccessControlListNotSupported", "The bucket does not allow ACLs")


class _Limited(io.RawIOBase):
    """The next so many bytes of a stream; closes it with itself."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        super().__init__()
        self._source = source
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        block = self._source.read(min(len(buffer), self._left))
        buffer[: len(block)] = block
        self._left -= len(block)
        return len(block)

    def close(self) -> None:
        self._source.close()
        super().close()


def source_of(request: call.Call) -> tuple[str, str]:
    """Return bucket and key of `x-amz-copy-source`. Raises FaultError."""
    path = (request.header("x-amz-copy-source") or "").partition("?")[0]
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    if not bucket or not key:
        raise faults.FaultError("InvalidArgument", "Copy Source must mention the bucket and key")
    return bucket, key


def sum_headers(attributes: store.Attributes) -> dict[str, str]:
    """Return the headers that carry an object's checksum."""
    if not attributes.algorithm or not attributes.checksum:
        return {}
    return {
        checksums.PREFIX + attributes.algorithm.lower(): attributes.checksum,
        "x-amz-checksum-type": attributes.checksum_type,
    }


def copied(etag: str, modified: float) -> Mapping[str, documents.Value]:
    """Return the members of a copy's result."""
    return {"LastModified": documents.time(modified), "ETag": f'"{etag}"'}
