"""The bytes of an upload: decoded, checked against all that the request promises, on disk."""

from __future__ import annotations

import base64
import hmac
import io
from typing import NamedTuple

from verge.cloud.objects import blobs, call, checksums, chunks, faults, signatures

MAX_SIZE = 5 * 1024**3
"""Bytes of one upload; larger objects take parts."""
_MAX_DOCUMENT = 16 * 1024 * 1024
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
    # Chunk headers come on top of the content.
    stream, chunked = _stream(request, MAX_SIZE + MAX_SIZE // 16)
    digests = checksums.Digests(_promised(request) or algorithm or "CRC64NVME")
    segment = store.receive(stream, digests)
    try:
        _check(request, digests, chunked)
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
    stream, chunked = _stream(request, _MAX_DOCUMENT)
    body = stream.read()
    digests = checksums.Digests(_promised(request))
    digests.update(body)
    _check(request, digests, chunked)
    return body


def _stream(request: call.Call, limit: int) -> tuple[io.BufferedReader, chunks.Chunked | None]:
    source = request.request.environ["wsgi.input"]
    source.limit = limit
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


def _promised(request: call.Call) -> str | None:
    """Return the algorithm of the checksum that comes in a header or after the body."""
    trailer = (request.header("x-amz-trailer") or "").lower()
    for algorithm in checksums.ALGORITHMS:
        if request.header(checksums.PREFIX + algorithm.lower()) is not None:
            return algorithm
    return trailer.removeprefix(checksums.PREFIX).upper() or None


def _expected(request: call.Call, chunked: chunks.Chunked | None) -> str | None:
    name = checksums.PREFIX + (_promised(request) or "").lower()
    given = request.header(name)
    if given is None and chunked is not None and request.header("x-amz-trailer"):
        return chunked.trailers.get(name, "")
    return given


def _check(request: call.Call, digests: checksums.Digests, chunked: chunks.Chunked | None) -> None:
    expected = _expected(request, chunked)
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
