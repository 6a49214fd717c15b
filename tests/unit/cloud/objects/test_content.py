"""Bodies in all the encodings that clients send, and what does not fit what they promise."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import time
import zlib
from collections.abc import Iterable, Mapping

import pytest

from tests.unit.cloud.objects import conftest
from verge.cloud.objects import blobs

DATA = b"0123456789" * 5000


def _crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def _chunks(data: bytes, size: int, trailers: Mapping[str, str]) -> bytes:
    body = b""
    for start in range(0, len(data), size):
        chunk = data[start : start + size]
        body += b"%x\r\n%b\r\n" % (len(chunk), chunk)
    tail = "".join(f"{name}:{value}\r\n" for name, value in trailers.items())
    return body + b"0\r\n" + tail.encode() + b"\r\n"


def _put(port: int, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    signed = (
        f"AWS4-HMAC-SHA256 Credential=AKIAMADEUP/{stamp[:8]}/eu-west-1/s3/aws4_request, "
        f"SignedHeaders=host, Signature={'0' * 64}"
    )
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(
            "PUT", "/artifacts/new", body, {"Authorization": signed, "X-Amz-Date": stamp, **headers}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _trailing(size: int, checksum: str, decoded: int = len(DATA)) -> tuple[bytes, dict[str, str]]:
    headers = {
        "Content-Encoding": "aws-chunked",
        "X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "X-Amz-Decoded-Content-Length": str(decoded),
        "X-Amz-Trailer": "x-amz-checksum-crc32",
    }
    return _chunks(DATA, size, {"x-amz-checksum-crc32": checksum}), headers


@pytest.mark.parametrize("size", [1000, 65536, 7])
def test_chunks_with_a_trailing_checksum(plant: conftest.Plant, size: int) -> None:
    """The chunks are taken apart, and the checksum after them is that of the bytes."""
    body, headers = _trailing(size, _crc32(DATA))
    assert _put(plant.tools.port, body, headers)[0] == 200
    stored = plant.tool().get_object(Bucket="artifacts", Key="new", ChecksumMode="ENABLED")
    assert stored["Body"].read() == DATA
    assert stored["ChecksumCRC32"] == _crc32(DATA)
    assert "ContentEncoding" not in stored


WRONG = {
    "trailing checksum": (*_trailing(1000, _crc32(b"other")), b"BadDigest"),
    "no trailing checksum": (_chunks(DATA, 1000, {}), _trailing(1, "")[1], b"BadDigest"),
    "length of the content": (*_trailing(1000, _crc32(DATA), 5), b"IncompleteBody"),
    "cut": (_trailing(1000, _crc32(DATA))[0][:-200], _trailing(1, "")[1], b"IncompleteBody"),
    "no chunks": (DATA, _trailing(1, "")[1], b"IncompleteBody"),
    "a negative chunk": (b"-5\r\nabcde\r\n0\r\n\r\n", _trailing(1, "")[1], b"IncompleteBody"),
    "md5": (DATA, {"Content-MD5": base64.b64encode(b"\0" * 16).decode()}, b"BadDigest"),
    "sha256 of the payload": (
        DATA,
        {"X-Amz-Content-Sha256": hashlib.sha256(b"other").hexdigest()},
        b"XAmzContentSHA256Mismatch",
    ),
    "crc32": (DATA, {"x-amz-checksum-crc32": _crc32(b"other")}, b"BadDigest"),
    "too large": (
        b"",
        {"Content-Length": str(6 * 1024**3), "Expect": "100-continue"},
        b"EntityTooLarge",
    ),
    "unknown algorithm": (
        DATA,
        {**_trailing(1, "")[1], "X-Amz-Trailer": "x-amz-checksum-none"},
        b"InvalidRequest",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_as_promised_is_refused(plant: conftest.Plant, name: str) -> None:
    """A flipped byte, a cut or a lie is named, and the object is as it was."""
    body, headers, code = WRONG[name]
    plant.tool().put_object(Bucket="artifacts", Key="new", Body=b"before")
    files = len(list(plant.storage.files._store.blobs._directory.glob("*/*")))
    status, answer = _put(plant.tools.port, body, headers)
    assert (status, code in answer) == (400, True), answer
    assert plant.tool().get_object(Bucket="artifacts", Key="new")["Body"].read() == b"before"
    assert len(list(plant.storage.files._store.blobs._directory.glob("*/*"))) == files


def _key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


@pytest.mark.parametrize("forged", [False, True])
def test_signed_chunks_are_checked(plant: conftest.Plant, forged: bool) -> None:
    """Every chunk carries its signature, which goes on from that of the headers."""
    session = plant.allow({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{stamp[:8]}/eu-west-1/s3/aws4_request"
    key = _key(session.secret_access_key, scope)
    headers = {
        "host": f"127.0.0.1:{plant.devices.port}",
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-date": stamp,
        "x-amz-decoded-content-length": str(len(DATA)),
        "x-amz-security-token": session.session_token,
    }
    names = ";".join(headers)
    canonical = "\n".join(
        (
            *("PUT", "/artifacts/signed", ""),
            *(f"{name}:{value}" for name, value in headers.items()),
            *("", names, headers["x-amz-content-sha256"]),
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    seed = previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    empty, body = hashlib.sha256(b"").hexdigest(), b""
    for chunk in (DATA[:30_000], DATA[30_000:], b""):
        digest = hashlib.sha256(chunk).hexdigest()
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{stamp}\n{scope}\n{previous}\n{empty}\n{digest}"
        previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        body += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + chunk + b"\r\n"
    if forged:
        body = body.replace(b"0123456789", b"9876543210", 1)
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={session.access_key_id}/{scope}, SignedHeaders={names}, "
        f"Signature={seed}"
    )
    connection = http.client.HTTPConnection("127.0.0.1", plant.devices.port, timeout=10)
    connection.request("PUT", "/artifacts/signed", body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if forged:
        assert answer.status == 403
        assert b"SignatureDoesNotMatch" in content
    else:
        assert answer.status == 200, content
        stored = plant.tool().get_object(Bucket="artifacts", Key="signed")
        assert stored["Body"].read() == DATA


def test_a_copy_outlives_its_source(plant: conftest.Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that is replaced while it is copied leaves the copy its bytes and their digest."""
    tool = plant.tool()
    link = blobs.Blobs.link

    def replaced(store: blobs.Blobs, segments: Iterable[blobs.Segment]) -> list[blobs.Segment]:
        linked = link(store, segments)
        tool.put_object(Bucket="artifacts", Key="b", Body=b"later")
        return linked

    monkeypatch.setattr(blobs.Blobs, "link", replaced)
    tool.copy_object(Bucket="artifacts", Key="copy", CopySource="artifacts/b")
    assert tool.get_object(Bucket="artifacts", Key="copy")["Body"].read() == b"b"
    assert plant.storage.files.sha256("artifacts", "copy") == hashlib.sha256(b"b").digest()
