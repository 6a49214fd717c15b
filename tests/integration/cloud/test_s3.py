"""Unmodified boto3 keeps its objects in the local cloud."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import itertools
import os
import urllib.parse
import uuid
from pathlib import Path
from typing import Any

import pytest
from boto3.s3 import transfer
from botocore import config as botocore_config
from botocore import exceptions

from tests.support import running_cloud

MIB = 1024 * 1024
PART = 5 * MIB


@pytest.fixture(scope="module")
def s3(cloud: running_cloud.RunningCloud) -> Any:
    return cloud.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    """A bucket of the test's own."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name}
    )
    return name


def _md5(body: bytes) -> bytes:
    return hashlib.md5(body, usedforsecurity=False).digest()


def _code(error: pytest.ExceptionInfo[exceptions.ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


class Pattern(io.RawIOBase):
    """So many bytes that differ from block to block, made as they are read."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._at = 0
        self._block = os.urandom(MIB)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        offset = self._at % MIB
        count = min(len(buffer), self._size - self._at, MIB - offset)
        buffer[:count] = self._block[offset : offset + count]
        if offset == 0 and count >= 8:
            buffer[:8] = self._at.to_bytes(8, "big")
        self._at += count
        return count


KEYS = [
    pytest.param("plain.txt", id="plain"),
    pytest.param("a/b/c.txt", id="slashes"),
    pytest.param("with space+plus%25.txt", id="space, plus and percent"),
    pytest.param("ümläut/日本.txt", id="not ASCII"),
    pytest.param("a//b/../c", id="looks like a path"),
    pytest.param("q?x=y&z=#", id="looks like a query"),
    pytest.param("k" * 1024, id="as long as may be"),
]


@pytest.mark.parametrize("key", KEYS)
def test_any_key_comes_back(s3: Any, bucket: str, key: str) -> None:
    """What a key may contain is kept as it is, in reading, listing and presigned URLs."""
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())

    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert [each["Key"] for each in s3.list_objects(Bucket=bucket)["Contents"]] == [key]
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    assert _get(url) == (200, key.encode())
    s3.delete_object(Bucket=bucket, Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_headers_and_metadata_come_back(s3: Any, bucket: str) -> None:
    """Content headers and user metadata belong to the object."""
    s3.put_object(
        Bucket=bucket,
        Key="a",
        Body=b"x",
        ContentType="application/zip",
        CacheControl="no-store",
        ContentDisposition='attachment; filename="a.zip"',
        Metadata={"built": "now", "under_score": "1"},
        Tagging="line=1&site=north",
    )
    head = s3.head_object(Bucket=bucket, Key="a")
    assert head["ContentType"] == "application/zip"
    assert head["CacheControl"] == "no-store"
    assert head["ContentDisposition"] == 'attachment; filename="a.zip"'
    assert head["Metadata"] == {"built": "now", "under_score": "1"}
    assert head["ContentLength"] == 1
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [
        {"Key": "line", "Value": "1"},
        {"Key": "site", "Value": "north"},
    ]
    changed = s3.get_object(Bucket=bucket, Key="a", ResponseContentType="text/plain")
    assert changed["ContentType"] == "text/plain"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=3-5", b"345"),
        ("bytes=7-", b"789"),
        ("bytes=-2", b"89"),
        ("bytes=5-999", b"56789"),
        ("lines=1-2", b"0123456789"),
    ],
)
def test_ranges(s3: Any, bucket: str, header: str, expected: bytes) -> None:
    """A range reads a part; what is no range of bytes is ignored."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")
    assert s3.get_object(Bucket=bucket, Key="a", Range=header)["Body"].read() == expected


def test_a_range_behind_the_end_is_refused(s3: Any, bucket: str) -> None:
    """A range that has no byte of the object is an error."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")
    with pytest.raises(exceptions.ClientError) as error:
        s3.get_object(Bucket=bucket, Key="a", Range="bytes=10-")
    assert _code(error) == "InvalidRange"


def test_conditions(s3: Any, bucket: str) -> None:
    """Reads and writes obey the entity tags they name."""
    first = s3.put_object(Bucket=bucket, Key="a", Body=b"1", IfNoneMatch="*")["ETag"]
    for refused in ({"IfNoneMatch": "*"}, {"IfMatch": '"0"'}):
        with pytest.raises(exceptions.ClientError) as error:
            s3.put_object(Bucket=bucket, Key="a", Body=b"2", **refused)
        assert _code(error) == "PreconditionFailed"
    with pytest.raises(exceptions.ClientError) as error:
        s3.get_object(Bucket=bucket, Key="a", IfNoneMatch=first)
    assert _code(error) == "304"
    with pytest.raises(exceptions.ClientError) as error:
        s3.get_object(Bucket=bucket, Key="a", IfMatch='"0"')
    assert _code(error) == "PreconditionFailed"
    s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfMatch=first)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"2"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda s3, b: s3.get_object(Bucket=b, Key="none"), "NoSuchKey"),
        (lambda s3, b: s3.head_object(Bucket=b, Key="none"), "404"),
        (lambda s3, b: s3.get_object(Bucket="no-such-bucket", Key="a"), "NoSuchBucket"),
        (lambda s3, b: s3.list_objects_v2(Bucket="no-such-bucket"), "NoSuchBucket"),
        (lambda s3, b: s3.put_object(Bucket="no-such-bucket", Key="a", Body=b""), "NoSuchBucket"),
        (lambda s3, b: s3.get_object(Bucket=b, Key="k" * 1025), "NoSuchKey"),
        (lambda s3, b: s3.put_object(Bucket=b, Key="k" * 1025, Body=b""), "KeyTooLongError"),
        (
            lambda s3, b: s3.put_object(Bucket=b, Key="a", Body=b"", Metadata={"a": "x" * 3000}),
            "MetadataTooLarge",
        ),
        (
            lambda s3, b: s3.put_object(Bucket=b, Key="a", Body=b"x", ContentMD5="A" * 22 + "=="),
            "BadDigest",
        ),
        (
            lambda s3, b: s3.put_object(
                Bucket=b, Key="a", Body=b"x", ChecksumSHA256="A" * 43 + "="
            ),
            "BadDigest",
        ),
        (
            lambda s3, b: s3.upload_part(Bucket=b, Key="a", UploadId="x", PartNumber=1, Body=b"x"),
            "NoSuchUpload",
        ),
        (lambda s3, b: s3.get_object_torrent(Bucket=b, Key="a"), "NotImplemented"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals(s3: Any, bucket: str, call: Any, code: str) -> None:
    """What S3 refuses is refused by the same code, and nothing is kept of it."""
    with pytest.raises(exceptions.ClientError) as error:
        call(s3, bucket)
    assert _code(error) == code
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_bucket_with_objects_is_not_deleted(s3: Any, bucket: str) -> None:
    """DeleteBucket refuses until the last object is gone."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with pytest.raises(exceptions.ClientError) as error:
        s3.delete_bucket(Bucket=bucket)
    assert _code(error) == "BucketNotEmpty"
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_bucket(Bucket=bucket)
    with pytest.raises(exceptions.ClientError):
        s3.head_bucket(Bucket=bucket)


def test_lists_come_in_pages(s3: Any, bucket: str) -> None:
    """Pages, prefixes and delimiters give every key once, in order."""
    keys = sorted(f"{folder}/{number:03d}" for folder in "abc" for number in range(7))
    keys = sorted([*keys, "b.txt", "top"])
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for operation in ("list_objects", "list_objects_v2", "list_object_versions"):
        pages = s3.get_paginator(operation).paginate(
            Bucket=bucket, PaginationConfig={"PageSize": 4}
        )
        member = "Versions" if operation.endswith("versions") else "Contents"
        found = [each["Key"] for page in pages for each in page.get(member, [])]
        assert found == keys
    for size in (1, 2, 1000):
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size}
        )
        entries = [
            [each["Prefix"] for each in page.get("CommonPrefixes", [])]
            + [each["Key"] for each in page.get("Contents", [])]
            for page in pages
        ]
        assert sorted(itertools.chain.from_iterable(entries)) == ["a/", "b.txt", "b/", "c/", "top"]
    inner = s3.list_objects_v2(Bucket=bucket, Prefix="b/", StartAfter="b/004")
    assert [each["Key"] for each in inner["Contents"]] == ["b/005", "b/006"]


def test_copies_and_deletions(s3: Any, bucket: str) -> None:
    """A copy is an object of its own; many objects are deleted at once."""
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x", Metadata={"m": "1"}, Tagging="t=1")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b"})
    s3.copy_object(
        Bucket=bucket,
        Key="other",
        CopySource={"Bucket": bucket, "Key": "a b"},
        Metadata={"m": "2"},
        MetadataDirective="REPLACE",
    )
    answer = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "a b"}, {"Key": "was never there"}]}
    )
    assert [each["Key"] for each in answer["Deleted"]] == ["a b", "was never there"]
    assert s3.get_object(Bucket=bucket, Key="copy")["Metadata"] == {"m": "1"}
    assert s3.get_object(Bucket=bucket, Key="other")["Metadata"] == {"m": "2"}
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"x"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_kept(s3: Any, bucket: str, algorithm: str) -> None:
    """botocore checks what it reads against the checksum it wrote."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"x" * 100_000, ChecksumAlgorithm=algorithm)
    answer = s3.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert answer["Body"].read() == b"x" * 100_000
    assert answer[f"Checksum{algorithm}"]


def test_multipart(s3: Any, bucket: str, tmp_path: Path) -> None:
    """Parts may arrive in any order and again; the object is what they are together."""
    bodies = [os.urandom(PART), os.urandom(PART), b"the end"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big", Metadata={"m": "1"})["UploadId"]
    named: dict[str, Any] = {"Bucket": bucket, "Key": "big", "UploadId": upload}
    assert [each["UploadId"] for each in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [
        upload
    ]
    s3.upload_part(**named, PartNumber=1, Body=b"soon to be replaced")
    tags = {n: s3.upload_part(**named, PartNumber=n, Body=bodies[n - 1])["ETag"] for n in (3, 1, 2)}
    assert [part["Size"] for part in s3.list_parts(**named)["Parts"]] == [PART, PART, 7]
    with pytest.raises(exceptions.ClientError) as error:
        s3.complete_multipart_upload(
            **named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tags[2]}]}
        )
    assert _code(error) == "InvalidPart"

    parts = [{"PartNumber": number, "ETag": tags[number]} for number in (1, 2, 3)]
    done = s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    again = s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    whole = b"".join(bodies)
    digest = _md5(b"".join(_md5(body) for body in bodies)).hex()
    assert done["ETag"] == again["ETag"] == f'"{digest}-3"'
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == whole
    middle = s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={PART - 3}-{PART + 2}")
    assert middle["Body"].read() == whole[PART - 3 : PART + 3]
    assert s3.head_object(Bucket=bucket, Key="big")["Metadata"] == {"m": "1"}
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_small_parts_and_ended_uploads_are_refused(s3: Any, bucket: str) -> None:
    """Only the last part may be small; an aborted upload takes no parts."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    named: dict[str, Any] = {"Bucket": bucket, "Key": "a", "UploadId": upload}
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part(**named, PartNumber=n, Body=b"x")["ETag"]}
        for n in (1, 2)
    ]
    with pytest.raises(exceptions.ClientError) as error:
        s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    assert _code(error) == "EntityTooSmall"
    s3.abort_multipart_upload(**named)
    with pytest.raises(exceptions.ClientError) as error:
        s3.upload_part(**named, PartNumber=1, Body=b"x")
    assert _code(error) == "NoSuchUpload"


def test_parts_are_copied_from_objects(s3: Any, bucket: str) -> None:
    """UploadPartCopy takes a range of another object."""
    body = os.urandom(PART + 10)
    s3.put_object(Bucket=bucket, Key="source", Body=body)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    named: dict[str, Any] = {"Bucket": bucket, "Key": "a", "UploadId": upload}
    source = {"Bucket": bucket, "Key": "source"}
    ranges = (f"bytes=0-{PART - 1}", f"bytes={PART}-{PART + 9}")
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part_copy(
                **named, PartNumber=number, CopySource=source, CopySourceRange=chosen
            )["CopyPartResult"]["ETag"],
        }
        for number, chosen in enumerate(ranges, 1)
    ]
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == body


def _flat(cloud: running_cloud.RunningCloud, s3: Any, bucket: str, size: int) -> None:
    s3.put_object(Bucket=bucket, Key="warm", Body=b"x")  # loads what any upload needs
    before = cloud.rss()
    settings = transfer.TransferConfig(multipart_chunksize=16 * MIB, max_concurrency=4)
    sent = _Hashed(Pattern(size))
    s3.upload_fileobj(sent, bucket, "big", Config=settings)
    received = hashlib.sha256()
    body = s3.get_object(Bucket=bucket, Key="big")["Body"]
    highest = cloud.rss()
    for block in body.iter_chunks(MIB):
        received.update(block)
        highest = max(highest, cloud.rss())
    assert received.digest() == sent.sha256.digest()
    assert highest - before < 48 * MIB
    s3.delete_object(Bucket=bucket, Key="big")


class _Hashed(io.RawIOBase):
    def __init__(self, source: io.RawIOBase) -> None:
        super().__init__()
        self._source = io.BufferedReader(source, MIB)
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._source.read(size)
        self.sha256.update(block)
        return block


def test_memory_stays_flat(cloud: running_cloud.RunningCloud, s3: Any, bucket: str) -> None:
    """An object of 256 MiB goes in and out in pieces."""
    _flat(cloud, s3, bucket, 256 * MIB)


@pytest.mark.timeout(600)
@pytest.mark.skipif(
    "VERGE_TEST_LARGE" not in os.environ, reason="takes minutes and 2 GiB: set VERGE_TEST_LARGE=1"
)
def test_memory_stays_flat_for_2_gib(
    cloud: running_cloud.RunningCloud, s3: Any, bucket: str
) -> None:
    """An object of 2 GiB does so, too."""
    _flat(cloud, s3, bucket, 2048 * MIB)


@pytest.fixture(params=["s3v4", "s3"])
def signer(request: pytest.FixtureRequest, cloud: running_cloud.RunningCloud) -> Any:
    """A client with keys that IAM handed out, presigning in one of the two ways."""
    iam = cloud.client("iam")
    name = f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return cloud.client(
        "s3",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        config=botocore_config.Config(signature_version=request.param),
    )


def _get(url: str, host: str | None = None) -> tuple[int, bytes]:
    """Read a URL as a browser would; `host` is what it takes the server for."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request(
            "GET", f"{parts.path}?{parts.query}", headers={"Host": host or parts.netloc}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_presigned_urls_are_checked(s3: Any, signer: Any, bucket: str) -> None:
    """A URL reads what it names while it lasts, and nothing else."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"mine")
    s3.put_object(Bucket=bucket, Key="b", Body=b"not yours")
    named = {"Bucket": bucket, "Key": "a"}
    url = signer.generate_presigned_url("get_object", Params=named, ExpiresIn=60)
    assert _get(url) == (200, b"mine")

    for forged in (
        url.replace("/a?", "/b?"),
        url.replace("Expires=60", "Expires=6000") if "Expires=60" in url else url + "0",
        url[:-4] + ("AAAA" if url[-4:] != "AAAA" else "BBBB"),
    ):
        status, body = _get(forged)
        assert status == 403, forged
        assert b"SignatureDoesNotMatch" in body or b"AccessDenied" in body
    short = signer.generate_presigned_url("get_object", Params=named, ExpiresIn=1)
    running_cloud.wait_for(lambda: _get(short)[0] == 403, "the URL has expired")
    assert b"has expired" in _get(short)[1]


def test_a_wrong_secret_is_refused(cloud: running_cloud.RunningCloud, bucket: str) -> None:
    """Who uses a key that IAM handed out must know its secret."""
    iam = cloud.client("iam")
    iam.create_user(UserName="forged")
    key = iam.create_access_key(UserName="forged")["AccessKey"]
    forger = cloud.client(
        "s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key="x" * 40
    )
    with pytest.raises(exceptions.ClientError) as error:
        forger.list_objects_v2(Bucket=bucket)
    assert _code(error) == "SignatureDoesNotMatch"


def test_without_a_signature_there_is_nothing(
    cloud: running_cloud.RunningCloud, s3: Any, bucket: str
) -> None:
    """A URL without a signature is denied."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"mine")
    status, body = _get(f"{cloud.endpoints.api}/{bucket}/a")
    assert status == 403
    assert b"mine" not in body


def test_a_bucket_in_the_host_is_understood(cloud: running_cloud.RunningCloud, s3: Any) -> None:
    """Clients that put the bucket before `localhost` are served, too."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket=name, Key="a/b", Body=b"x")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "a/b"})
    query = url.partition("?")[2]
    moved = f"{cloud.endpoints.api}/a/b?{query}"
    assert _get(moved, f"{name}.localhost:4566") == (200, b"x")


def test_a_wrong_md5_of_a_document_is_refused(s3: Any, bucket: str) -> None:
    """Documents are checked like objects."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    wrong = base64.b64encode(b"\0" * 16).decode()

    def spoil(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["Content-MD5"] = wrong

    s3.meta.events.register("before-call.s3.DeleteObjects", spoil)
    try:
        with pytest.raises(exceptions.ClientError) as error:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}]})
    finally:
        s3.meta.events.unregister("before-call.s3.DeleteObjects", spoil)
    assert _code(error) == "BadDigest"
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
