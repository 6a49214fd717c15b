"""One large file on its way into a bucket, part by part.

Which upload it was is remembered in a file, so that after an interruption only the missing parts
are sent. Parts count as sent if the MD5 that S3 keeps of them is that of the file.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verge.fleet import aws, files
from verge.fleet.errors import FleetError

MIB = 1024 * 1024
PART_SIZE = 16 * MIB
MOST_PARTS = 10_000
SENDERS = 4
DIGEST = "sha256"
"""The key of the object's metadata."""

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Upload:
    """A file and the object that it is to be."""

    path: Path
    sha256: str
    """In hexadecimal digits."""
    size: int
    bucket: str
    key: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further arguments of S3, as GDK's `file_upload_args`."""

    @property
    def uri(self) -> str:
        """The object's address."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of S3 that describe the object."""
        metadata = {**self.options.get("Metadata", {}), DIGEST: self.sha256}
        return {**self.options, "Metadata": metadata}


class _Section(io.RawIOBase):
    """A part of a file as a stream, so that a part is never in memory as a whole."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        super().__init__()
        self._stream = path.open("rb")
        self._start, self._size, self._position = start, size, 0
        self._stream.seek(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: self._size - self._position]
        count = self._stream.readinto(view)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = min(max(base + offset, 0), self._size)
        self._stream.seek(self._start + self._position)
        return self._position

    def tell(self) -> int:
        return self._position

    def __len__(self) -> int:
        return self._size

    def close(self) -> None:
        self._stream.close()
        super().close()


class Parts:
    """One upload in parts."""

    def __init__(self, s3: Any, upload: Upload, memory: Path, progress: Progress) -> None:
        self._s3 = s3
        self._upload = upload
        self._memory = memory
        self._progress = progress
        self._lock = threading.Lock()
        self._arrived = 0
        # Ten thousand parts are the most that S3 takes.
        self._size = max(PART_SIZE, -(-upload.size // MOST_PARTS))

    def send(self) -> None:
        """Send what is missing and complete the object."""
        upload_id, known = self._resume() or (self._begin(), {})
        with files.explained("read", self._upload.path):
            etags = self._send_missing(upload_id, known)
        with aws.explained():
            self._s3.complete_multipart_upload(
                **self._names,
                UploadId=upload_id,
                MultipartUpload={
                    "Parts": [
                        {"PartNumber": number, "ETag": etag}
                        for number, etag in enumerate(etags, start=1)
                    ]
                },
            )
        self._remember(None)

    @property
    def _names(self) -> dict[str, str]:
        return {"Bucket": self._upload.bucket, "Key": self._upload.key}

    def _begin(self) -> str:
        with aws.explained():
            answer = self._s3.create_multipart_upload(**self._names, **self._upload.arguments)
        self._remember(str(answer["UploadId"]))
        return str(answer["UploadId"])

    def _remember(self, upload_id: str | None) -> None:
        known = files.read_state(self._memory)
        known.pop(self._upload.uri, None)
        if upload_id:
            known[self._upload.uri] = {"upload": upload_id, DIGEST: self._upload.sha256}
        files.write_json(self._memory, known)

    def _resume(self) -> tuple[str, dict[int, str]] | None:
        """Return the upload that was interrupted and the parts it has, if there is one."""
        entry = files.read_state(self._memory).get(self._upload.uri)
        if not isinstance(entry, dict):
            return None
        names = {**self._names, "UploadId": str(entry.get("upload"))}
        try:
            with aws.explained():
                if entry.get(DIGEST) == self._upload.sha256:
                    pages = self._s3.get_paginator("list_parts").paginate(**names)
                    return names["UploadId"], {
                        int(part["PartNumber"]): str(part["ETag"]).strip('"')
                        for page in pages
                        for part in page.get("Parts", [])
                    }
                self._s3.abort_multipart_upload(**names)
        except aws.CloudError as error:
            if not error.not_found:
                raise
        return None

    def _send_missing(self, upload_id: str, known: dict[int, str]) -> Sequence[str]:
        numbers = range(1, -(-self._upload.size // self._size) + 1)
        with concurrent.futures.ThreadPoolExecutor(max_workers=SENDERS) as pool:
            futures = [
                pool.submit(self._send_part, upload_id, number, known.get(number))
                for number in numbers
            ]
            try:
                return [future.result() for future in futures]
            except BaseException:
                for future in futures:
                    future.cancel()
                raise

    def _send_part(self, upload_id: str, number: int, known: str | None) -> str:
        start = (number - 1) * self._size
        size = min(self._size, self._upload.size - start)
        etag = known
        if known is None or known != _md5(self._upload.path, start, size):
            with _Section(self._upload.path, start, size) as section, aws.explained():
                answer = self._s3.upload_part(
                    **self._names, UploadId=upload_id, PartNumber=number, Body=section
                )
            etag = str(answer["ETag"]).strip('"')
        with self._lock:
            self._arrived += size
            share = 100 * self._arrived // self._upload.size
            self._progress(
                f"{self._upload.path.name}: {share} % of {self._upload.size / 1e6:,.0f} MB"
            )
        return str(etag)


def _md5(path: Path, start: int, size: int) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        stream.seek(start)
        left = size
        while left and (block := stream.read(min(MIB, left))):
            found.update(block)
            left -= len(block)
    if left:
        raise FleetError(f"cannot read {path}: it was cut off meanwhile", "repeat the command")
    return found.hexdigest()
