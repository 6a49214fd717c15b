"""Operations that read: objects, their tags and attributes, and lists of a bucket."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from typing import BinaryIO
from urllib.parse import quote

from werkzeug import http
from werkzeug.wrappers import Response

from verge.cloud import database
from verge.cloud.objects import (
    blobs,
    call,
    conditions,
    documents,
    faults,
    listing,
    store,
    writing,
)

_OWNER = {"ID": "0" * 64, "DisplayName": "verge"}
_OVERRIDES = "response-"
_MAX_KEYS = 1000

Element = dict[str, documents.Value]

Encode = Callable[[str], str]
"""Writes a key as the client asked for."""


class Reading:
    """Reads from the store."""

    def __init__(self, *, rows: database.Database, objects: store.Store) -> None:
        self._rows = rows
        self._store = objects

    def get(self, request: call.Call) -> Response:
        """GetObject and HeadObject."""
        request.require("s3:GetObject")
        _check_version(request)
        found = self._store.read(request.bucket, request.key)
        if found is None:
            raise request.missing()
        stored, source = found
        with contextlib.ExitStack() as opened:
            opened.enter_context(source)
            try:
                conditions.check_read(request, stored)
            except conditions.UnmodifiedError:
                return Response(status=304, headers=_headers(request, stored))
            chosen = self._chosen(request, stored)
            opened.pop_all()
        return self._content(request, stored, source, chosen)

    def tags(self, request: call.Call) -> Response:
        """GetObjectTagging."""
        request.require("s3:GetObjectTagging")
        stored = self._find(request)
        tags = [{"Key": key, "Value": value} for key, value in stored.tags.items()]
        return documents.response("Tagging", {"TagSet": {"Tag": tags}})

    def acl(self, request: call.Call) -> Response:
        """GetObjectAcl: the owner has all rights, as with ACLs disabled."""
        request.require("s3:GetObjectAcl")
        self._find(request)
        grant = {"Grantee": _OWNER, "Permission": "FULL_CONTROL"}
        return documents.response(
            "AccessControlPolicy", {"Owner": _OWNER, "AccessControlList": {"Grant": grant}}
        )

    def attributes(self, request: call.Call) -> Response:
        """GetObjectAttributes."""
        request.require("s3:GetObjectAttributes")
        stored = self._find(request)
        attributes = stored.attributes
        checksum = None
        if attributes.algorithm and attributes.checksum:
            checksum = {
                f"Checksum{attributes.algorithm}": attributes.checksum,
                "ChecksumType": attributes.checksum_type,
            }
        parts = len(self._store.segments(stored)) if stored.upload else None
        response = documents.response(
            "GetObjectAttributesResponse",
            {
                "ETag": stored.etag,
                "Checksum": checksum,
                "ObjectParts": None if parts is None else {"PartsCount": parts},
                "StorageClass": "STANDARD",
                "ObjectSize": stored.size,
            },
        )
        response.headers["Last-Modified"] = http.http_date(stored.modified)
        return response

    def list_objects(self, request: call.Call) -> Response:
        """ListObjects and ListObjectsV2."""
        args = request.args
        request.require("s3:ListBucket", name=args.get("prefix", ""))
        second = args.get("list-type") == "2"
        after = args.get("marker", "") if not second else args.get("start-after", "")
        if second and "continuation-token" in args:
            after = _after(args["continuation-token"])
        limit = _limit(args.get("max-keys"))
        page = listing.page(
            self._rows,
            request.bucket,
            prefix=args.get("prefix", ""),
            delimiter=args.get("delimiter", ""),
            after=after,
            limit=limit,
        )
        encode = _encoder(args.get("encoding-type"))
        content: Element = {
            "Name": request.bucket,
            "Prefix": encode(args.get("prefix", "")),
            "Delimiter": encode(args["delimiter"]) if "delimiter" in args else None,
            "MaxKeys": limit,
            "EncodingType": args.get("encoding-type"),
            "IsTruncated": str(page.truncated).lower(),
        }
        if second:
            token = base64.urlsafe_b64encode(page.last.encode()).decode()
            content |= {
                "KeyCount": len(page.objects) + len(page.prefixes),
                "ContinuationToken": args.get("continuation-token"),
                "NextContinuationToken": token if page.truncated else None,
                "StartAfter": encode(args["start-after"]) if "start-after" in args else None,
            }
        else:
            content |= {
                "Marker": encode(args.get("marker", "")),
                "NextMarker": encode(page.last) if page.truncated else None,
            }
        owner = not second or args.get("fetch-owner") == "true"
        content["Contents"] = [_listed(each, encode, owner=owner) for each in page.objects]
        content["CommonPrefixes"] = [{"Prefix": encode(each)} for each in page.prefixes]
        return documents.response("ListBucketResult", content)

    def list_versions(self, request: call.Call) -> Response:
        """ListObjectVersions: every object has the one version "null"."""
        args = request.args
        request.require("s3:ListBucketVersions", name="")
        limit = _limit(args.get("max-keys"))
        page = listing.page(
            self._rows,
            request.bucket,
            prefix=args.get("prefix", ""),
            delimiter=args.get("delimiter", ""),
            after=args.get("key-marker", ""),
            limit=limit,
        )
        encode = _encoder(args.get("encoding-type"))
        versions: list[documents.Value] = []
        for each in page.objects:
            entry = _listed(each, encode, owner=True)
            versions.append(entry | {"VersionId": "null", "IsLatest": "true"})
        return documents.response(
            "ListVersionsResult",
            {
                "Name": request.bucket,
                "Prefix": encode(args.get("prefix", "")),
                "KeyMarker": encode(args.get("key-marker", "")),
                "VersionIdMarker": "",
                "NextKeyMarker": encode(page.last) if page.truncated else None,
                "NextVersionIdMarker": "null" if page.truncated else None,
                "MaxKeys": limit,
                "EncodingType": args.get("encoding-type"),
                "IsTruncated": str(page.truncated).lower(),
                "Version": versions,
                "CommonPrefixes": [{"Prefix": encode(each)} for each in page.prefixes],
            },
        )

    def _find(self, request: call.Call) -> store.Object:
        stored = self._store.find(request.bucket, request.key)
        if stored is None:
            raise request.missing()
        return stored

    def _chosen(self, request: call.Call, stored: store.Object) -> conditions.Range | None:
        if "partNumber" not in request.args:
            return conditions.byte_range(request.header("Range"), stored.size)
        segments = self._store.segments(stored)
        number = int(request.args["partNumber"]) if request.args["partNumber"].isdigit() else 0
        if not 1 <= number <= max(1, len(segments)):
            raise faults.FaultError("InvalidPartNumber", "The requested partnumber is not there")
        start = sum(segment.size for segment in segments[: number - 1])
        return conditions.Range(start, start + (segments[number - 1].size if segments else 0))

    def _content(
        self,
        request: call.Call,
        stored: store.Object,
        source: BinaryIO,
        chosen: conditions.Range | None,
    ) -> Response:
        start, end = chosen or conditions.Range(0, stored.size)
        headers = _headers(request, stored)
        if chosen is None and request.header("x-amz-checksum-mode") == "ENABLED":
            headers |= writing.sum_headers(stored.attributes)  # they are those of the whole object
        headers["Content-Length"] = str(end - start)
        if chosen is not None and stored.size:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
        if "partNumber" in request.args and stored.upload:
            headers["x-amz-mp-parts-count"] = str(len(self._store.segments(stored)))
        if request.request.method == "HEAD":
            source.close()
            return Response(status=206 if chosen else 200, headers=headers)
        response = Response(
            _blocks(source, start, end),
            status=206 if chosen else 200,
            headers=headers,
            direct_passthrough=True,
        )
        response.call_on_close(source.close)
        return response


def _headers(request: call.Call, stored: store.Object) -> dict[str, str]:
    attributes = stored.attributes
    headers = {"content-type": "binary/octet-stream", **attributes.headers}
    headers |= {f"x-amz-meta-{name}": value for name, value in attributes.metadata.items()}
    headers |= {
        "ETag": f'"{stored.etag}"',
        "Last-Modified": http.http_date(stored.modified),
        "Accept-Ranges": "bytes",
    }
    if stored.tags:
        headers["x-amz-tagging-count"] = str(len(stored.tags))
    for name, value in request.args.items():
        if name.startswith(_OVERRIDES):
            headers[name.removeprefix(_OVERRIDES)] = value
    return headers


def _blocks(source: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    source.seek(start)
    while start < end:
        block = source.read(min(blobs.BLOCK, end - start))
        start += len(block)
        yield block


def _check_version(request: call.Call) -> None:
    if request.args.get("versionId", "null") != "null":
        raise faults.FaultError("NoSuchVersion", "The specified version does not exist.")


def _after(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError:
        raise faults.FaultError(
            "InvalidArgument", "The continuation token provided is incorrect"
        ) from None


def _limit(text: str | None) -> int:
    if text is None:
        return _MAX_KEYS
    if not text.isdigit():
        raise faults.FaultError("InvalidArgument", "Provided max-keys not an integer")
    return min(_MAX_KEYS, int(text))


def _encoder(kind: str | None) -> Encode:
    return (lambda text: quote(text, safe="/-_.~")) if kind == "url" else (lambda text: text)


def _listed(stored: store.Object, encode: Encode, *, owner: bool) -> Element:
    algorithm = stored.attributes.algorithm
    return {
        "Key": encode(stored.key),
        "LastModified": documents.time(stored.modified),
        "ETag": f'"{stored.etag}"',
        "ChecksumAlgorithm": algorithm if stored.attributes.checksum else None,
        "ChecksumType": stored.attributes.checksum_type if stored.attributes.checksum else None,
        "Size": stored.size,
        "Owner": _OWNER if owner else None,
        "StorageClass": "STANDARD",
    }
