"""The bytes of an upload: decoded, checked against all that the request promises, on disk."""

from __future__ import annotations

import base64
import hmac
import io
from typing import NamedTuple

from verge.cloud.objects import blobs, call, checksums, chunks, faults, signatures

MAX_SIZE = 5 * 1024**3
"""Bytes of one upload; larger objects take parts."""
_STREAMING = "STREAMING-"


class Received(NamedTuple):
    """What has arrived; `etag` is the MD5, hexadecimal."""

    segment: blobs.Segment
    etag: str
    sha256: bytes
    algorithm: str | None
    checksum: str | None


def receive(request: call.Call, store: blobs.Blobs, algorithm: str | None = None) -> Received:
    """Write the body of a request to a blob. Raises FaultError; then nothing is kept."""
    stream, chunked = _stream(request)
    trailer = (request.header("x-amz-trailer") or "").lower()
    given = _given(request)
    chosen = given[0] if given else trailer.removeprefix(checksums.PREFIX).upper() or algorithm
    digests = checksums.Digests(chosen or "CRC64NVME")
    segment = store.receive(stream, digests)
    try:
        expected = given[1] if given else None
        if chunked is not None and trailer:
            expected = chunked.trailers.get(trailer, "")
        _check(request, digests, expected)
    except BaseException:
        store.discard([segment.blob])
        raise
    return Received(
        segment,
        digests.md5.digest().hex(),
        digests.sha256.digest(),
        digests.algorithm,
        digests.checksum,
    )


def document(request: call.Call) -> bytes:
    """Return the body of a request that carries a document, checked like any other."""
    stream, chunked = _stream(request)
    if chunked is None and request.request.content_length is None:
        stream = io.BytesIO(request.request.get_data())
    body = stream.read()
    given = _given(request)
    digests = checksums.Digests(given[0] if given else None)
    digests.update(body)
    _check(request, digests, given[1] if given else None)
    return body


def _stream(request: call.Call) -> tuple[io.BufferedReader | io.BytesIO, chunks.Chunked | None]:
    source = request.request.environ["wsgi.input"]
    source.limit = MAX_SIZE + MAX_SIZE // 16  # chunk headers come on top
    plain = io.BufferedReader(source, blobs.BLOCK)
    kind = request.header("x-amz-content-sha256") or ""
    encoded = "aws-chunked" in (request.header("content-encoding") or "")
    if not kind.startswith(_STREAMING) and not encoded:
        return plain, None
    key = request.caller.key
    sign = None
    if kind.startswith("STREAMING-AWS4-HMAC-SHA256") and key is not None:
        sign = signatures.chunk_signer(request.caller.signature, key.secret)
    decoded = chunks.Chunked(plain, sign=sign)
    return io.BufferedReader(decoded, blobs.BLOCK), decoded


def _given(request: call.Call) -> tuple[str, str] | None:
    for algorithm in checksums.ALGORITHMS:
        value = request.header(checksums.PREFIX + algorithm.lower())
        if value is not None:
            return algorithm, value
    return None


def _check(request: call.Call, digests: checksums.Digests, expected: str | None) -> None:
    size = request.header("x-amz-decoded-content-length")
    if size is not None and size != str(digests.size):
        raise faults.FaultError(
            "IncompleteBody",
            "You did not provide the number of bytes specified by the Content-Length HTTP header.",
        )
    if digests.size > MAX_SIZE:
        raise faults.FaultError("EntityTooLarge", "Your proposed upload exceeds the maximum size.")
    md5 = request.header("content-md5")
    if md5 is not None and md5 != base64.b64encode(digests.md5.digest()).decode():
        raise faults.FaultError(
            "BadDigest", "The Content-MD5 you specified did not match what we received."
        )
    sha256 = request.header("x-amz-content-sha256") or ""
    if len(sha256) == 64 and not hmac.compare_digest(sha256, digests.sha256.digest().hex()):
        raise faults.FaultError(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    if expected is not None and expected != digests.checksum:
        raise faults.FaultError(
            "BadDigest",
            f"The {digests.algorithm} you specified did not match the calculated checksum.",
        )
