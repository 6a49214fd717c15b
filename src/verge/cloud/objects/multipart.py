"""Operations on multipart uploads."""

from __future__ import annotations

import msgspec
from werkzeug.wrappers import Response

from verge.cloud.objects import (
    call,
    checksums,
    conditions,
    content,
    documents,
    faults,
    store,
    uploads,
    writing,
)


class Multipart:
    """Begins, feeds and ends uploads."""

    def __init__(
        self, *, objects: store.Store, uploads: uploads.Uploads, writing: writing.Writing
    ) -> None:
        self._store = objects
        self._uploads = uploads
        self._writing = writing

    def create(self, request: call.Call) -> Response:
        """CreateMultipartUpload."""
        request.require("s3:PutObject")
        request.check_key()
        algorithm = request.header("x-amz-checksum-algorithm")
        attributes = request.attributes()
        if algorithm is not None:
            checksums.new(algorithm)
            kind = request.header("x-amz-checksum-type") or (
                "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"
            )
            attributes = msgspec.structs.replace(
                attributes, algorithm=algorithm, checksum_type=kind
            )
        upload = self._uploads.create(request.bucket, request.key, attributes, request.tags())
        response = documents.response(
            "InitiateMultipartUploadResult",
            {"Bucket": request.bucket, "Key": request.key, "UploadId": upload.id},
        )
        if algorithm is not None:
            response.headers["x-amz-checksum-algorithm"] = algorithm
            response.headers["x-amz-checksum-type"] = attributes.checksum_type
        return response

    def upload_part(self, request: call.Call) -> Response:
        """UploadPart and UploadPartCopy."""
        request.require("s3:PutObject")
        upload = self._find(request)
        number = _number(request)
        algorithm = upload.attributes.algorithm
        if request.header("x-amz-copy-source") is not None:
            return self._copy_part(request, upload, number)
        received = content.receive(request, self._store.blobs, algorithm)
        checksum = received.checksum
        if algorithm is not None and received.algorithm != algorithm:
            self._store.blobs.discard([received.segment.blob])
            raise faults.FaultError(
                "InvalidRequest", f"Checksum Type mismatch: the upload was begun with {algorithm}."
            )
        try:
            self._uploads.keep(upload, number, received.segment, received.etag, checksum)
        except BaseException:
            self._store.blobs.discard([received.segment.blob])
            raise
        headers = {"ETag": f'"{received.etag}"'}
        if received.algorithm and checksum:
            headers[checksums.PREFIX + received.algorithm.lower()] = checksum
        return Response(headers=headers)

    def complete(self, request: call.Call) -> Response:
        """CompleteMultipartUpload; asked again after it succeeded, it succeeds again."""
        request.require("s3:PutObject")
        body = content.document(request)
        stored = self._store.find(request.bucket, request.key)
        if stored is None or stored.upload != request.args["uploadId"]:
            stored = self._uploads.complete(
                self._find(request),
                _wanted(body),
                lambda there: conditions.check_write(request, there),
            )
        attributes = stored.attributes
        result: dict[str, documents.Value] = {
            "Location": f"/{request.bucket}/{request.key}",
            "Bucket": request.bucket,
            "Key": request.key,
            "ETag": f'"{stored.etag}"',
        }
        if attributes.algorithm and attributes.checksum:
            result[f"Checksum{attributes.algorithm}"] = attributes.checksum
            result["ChecksumType"] = attributes.checksum_type
        return documents.response("CompleteMultipartUploadResult", result)

    def abort(self, request: call.Call) -> Response:
        """AbortMultipartUpload."""
        request.require("s3:AbortMultipartUpload")
        self._uploads.abort(self._find(request))
        return Response(status=204)

    def list_parts(self, request: call.Call) -> Response:
        """ListParts."""
        request.require("s3:ListMultipartUploadParts")
        upload = self._find(request)
        after = _integer(request, "part-number-marker", 0)
        limit = min(1000, _integer(request, "max-parts", 1000))
        parts = [part for part in self._uploads.parts(upload) if part.number > after]
        page = parts[:limit]
        algorithm = upload.attributes.algorithm
        return documents.response(
            "ListPartsResult",
            {
                "Bucket": upload.bucket,
                "Key": upload.key,
                "UploadId": upload.id,
                "PartNumberMarker": after,
                "NextPartNumberMarker": page[-1].number if page else after,
                "MaxParts": limit,
                "IsTruncated": str(len(parts) > limit).lower(),
                "StorageClass": "STANDARD",
                "ChecksumAlgorithm": algorithm,
                "Part": [
                    {
                        "PartNumber": part.number,
                        "LastModified": documents.time(part.modified),
                        "ETag": f'"{part.etag}"',
                        "Size": part.size,
                        f"Checksum{algorithm}": part.checksum if algorithm else None,
                    }
                    for part in page
                ],
            },
        )

    def list_uploads(self, request: call.Call) -> Response:
        """ListMultipartUploads."""
        request.require("s3:ListBucketMultipartUploads", name="")
        prefix = request.args.get("prefix", "")
        marker = (request.args.get("key-marker", ""), request.args.get("upload-id-marker", ""))
        limit = min(1000, _integer(request, "max-uploads", 1000))
        found = sorted(
            self._uploads.in_bucket(request.bucket, prefix), key=lambda each: (each.key, each.id)
        )
        found = [each for each in found if (each.key, each.id) > marker]
        if marker[0] and not marker[1]:
            found = [each for each in found if each.key > marker[0]]
        page = found[:limit]
        more = len(found) > limit
        return documents.response(
            "ListMultipartUploadsResult",
            {
                "Bucket": request.bucket,
                "KeyMarker": marker[0],
                "UploadIdMarker": marker[1],
                "NextKeyMarker": page[-1].key if more else None,
                "NextUploadIdMarker": page[-1].id if more else None,
                "Prefix": prefix,
                "MaxUploads": limit,
                "IsTruncated": str(more).lower(),
                "Upload": [
                    {
                        "Key": each.key,
                        "UploadId": each.id,
                        "Initiated": documents.time(each.started),
                        "StorageClass": "STANDARD",
                    }
                    for each in page
                ],
            },
        )

    def _find(self, request: call.Call) -> uploads.Upload:
        return self._uploads.find(request.bucket, request.key, request.args["uploadId"])

    def _copy_part(self, request: call.Call, upload: uploads.Upload, number: int) -> Response:
        digests = checksums.Digests(upload.attributes.algorithm)
        with self._writing.source(request) as source:
            segment = self._store.blobs.receive(source, digests)
        etag = digests.md5.digest().hex()
        try:
            part = self._uploads.keep(upload, number, segment, etag, digests.checksum)
        except BaseException:
            self._store.blobs.discard([segment.blob])
            raise
        return documents.response("CopyPartResult", writing.copied(etag, part.modified))


def _wanted(body: bytes) -> list[uploads.Wanted]:
    wanted = []
    for element in documents.parse(body).iterfind("Part"):
        number = element.findtext("PartNumber", "")
        if not number.isdigit():
            raise faults.FaultError("MalformedXML", "Every part needs its PartNumber.")
        checksum = next((child.text for child in element if child.tag.startswith("Checksum")), None)
        wanted.append(uploads.Wanted(int(number), element.findtext("ETag", ""), checksum))
    return wanted


def _number(request: call.Call) -> int:
    number = _integer(request, "partNumber", 0)
    if not 1 <= number <= uploads.MAX_PARTS:
        raise faults.FaultError(
            "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive"
        )
    return number


def _integer(request: call.Call, name: str, default: int) -> int:
    text = request.args.get(name, "") or str(default)
    if not text.isdigit():
        raise faults.FaultError("InvalidArgument", f"Provided {name} not an integer")
    return int(text)
