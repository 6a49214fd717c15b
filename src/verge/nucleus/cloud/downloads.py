"""Downloads artifacts: flat memory, resumed after a break, verified before anybody may use them.

What has come so far lies below `packages/downloads` under its digest, so a nucleus that is killed
goes on where it was, and what is complete is never fetched again.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import ssl
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from verge.nucleus import faults, logs, settings, threads
from verge.nucleus.cloud import artifacts, backoff, errors, tls
from verge.nucleus.cloud import http as https
from verge.nucleus.store import composition, packages

CHUNK = 256 * 1024

PART = ".part"

log = logs.Logger("download")


@dataclass
class Fetched:
    """How many bytes came over the network."""

    bytes: int = 0


class Downloader:
    """Fetches into a directory. All methods block; one thread at a time."""

    def __init__(
        self,
        configured: settings.Settings,
        places: artifacts.Places,
        waits: Callable[[], backoff.Backoff] = backoff.Backoff,
    ) -> None:
        self._settings = configured
        self._places = places
        self._waits = waits
        self._directory = configured.paths.downloads

    def remaining(self, wanted: artifacts.Wanted, stop: threads.Stop) -> int:
        """Return how many bytes of an artifact are yet to come, asking the cloud for its size.

        Raises StoppedError, or RefusedError where the artifact cannot be had.
        """
        if self.file(wanted).is_file():
            return 0
        total = self._patiently(wanted, stop, lambda: self._size(wanted))
        return max(total - _length(self._part(wanted)), 0)

    def fetch(self, wanted: artifacts.Wanted, stop: threads.Stop, count: Fetched) -> Path:
        """Return a complete and verified file. Waits while the cloud cannot be reached.

        Raises StoppedError, RefusedError, ChecksumError, DiskSpaceError or OSError.
        """
        file, part = self.file(wanted), self._part(wanted)
        if file.is_file():
            return file
        self._directory.mkdir(mode=0o700, exist_ok=True)
        resumed = _length(part) > 0
        if resumed:
            log.info("Download resumed", artifact=wanted.name, bytes=_length(part))
        digest = _Digest(part)
        self._patiently(wanted, stop, lambda: self._continue(wanted, digest, stop, count))
        if digest.hex != wanted.sha256 and resumed:
            # What an earlier nucleus wrote may have been lost with the power.
            log.warning("Download begun anew, the resumed one is damaged", artifact=wanted.name)
            digest.restart()
            self._patiently(wanted, stop, lambda: self._continue(wanted, digest, stop, count))
        if digest.hex != wanted.sha256:
            part.unlink()
            raise composition.ChecksumError(
                f"cannot use {wanted.name}: the SHA-256 of what {wanted.uri} holds is not the one "
                "in the recipe; publish a new version of the component"
            )
        with part.open("rb") as opened:
            os.fsync(opened.fileno())
        faults.write_point()
        part.replace(file)
        faults.write_point()
        return file

    def clear(self) -> None:
        """Remove everything, finished or not."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def file(self, wanted: artifacts.Wanted) -> Path:
        """Return where an artifact lies once it is complete."""
        return self._directory / wanted.sha256

    def _part(self, wanted: artifacts.Wanted) -> Path:
        return self._directory / f"{wanted.sha256}{PART}"

    def _patiently(
        self, wanted: artifacts.Wanted, stop: threads.Stop, work: Callable[[], int]
    ) -> int:
        """Repeat work that gets nowhere, less and less often; progress counts as a good end."""
        waits = self._waits()
        reason = ""
        while True:
            stop.check()
            before = _length(self._part(wanted))
            try:
                return work()
            except errors.UnreachableError as error:
                if str(error) != reason:
                    reason = str(error)
                    log.warning("Download waits", artifact=wanted.name, reason=reason)
            if _length(self._part(wanted)) > before:
                waits.reset()
            stop.pause(waits.wait())

    def _size(self, wanted: artifacts.Wanted) -> int:
        # A signature covers the method, so HEAD is not open for an address that allows GET.
        request = self._places.request(wanted, {"range": "bytes=0-0"})
        with https.open_answer(request, self._context()) as answer:
            if answer.status in {206, 416}:
                total = answer.headers.get("Content-Range", "").rpartition("/")[2]
                return int(total) if total.isdigit() else 0
            if answer.status == 200:
                return int(answer.headers.get("Content-Length") or 0)
            raise self._error(wanted, answer)

    def _continue(
        self, wanted: artifacts.Wanted, digest: _Digest, stop: threads.Stop, count: Fetched
    ) -> int:
        have = digest.length
        headers = {"range": f"bytes={have}-"} if have else {}
        request = self._places.request(wanted, headers)
        place = urllib.parse.urlsplit(request.url).netloc
        with https.open_answer(request, self._context()) as answer:
            if answer.status == 416:
                if _total(answer) != have:  # it is shorter than what is here
                    digest.restart()
                    raise errors.UnreachableError(f"cannot resume {wanted.name}: it has changed")
                return have
            if answer.status == 200:
                digest.restart()
            elif answer.status != 206 or not _starts_at(answer, have):
                raise self._error(wanted, answer)
            self._places.served(wanted)
            self._check_room(wanted, answer)
            complete = digest.append(answer, place, stop, count)
        if not complete:
            raise errors.UnreachableError(f"cannot read all of {wanted.name}: {place} hung up")
        return digest.length

    def _check_room(self, wanted: artifacts.Wanted, answer: http.client.HTTPResponse) -> None:
        need = int(answer.headers.get("Content-Length") or 0)
        free = shutil.disk_usage(self._directory).free
        if need + self._settings.minimum_free_disk > free:
            raise packages.DiskSpaceError(
                f"cannot download {wanted.name}: it needs {need} more bytes with "
                f"{self._settings.minimum_free_disk} to spare, and {free} are free; make room and "
                "deploy again"
            )

    def _context(self) -> ssl.SSLContext:
        return tls.public_context(self._settings)

    def _error(
        self, wanted: artifacts.Wanted, answer: http.client.HTTPResponse
    ) -> errors.CloudError:
        headers = {name.lower(): text for name, text in answer.headers.items()}
        try:
            body = answer.read(4096)
        except (OSError, http.client.HTTPException):
            body = b""
        return self._places.explain(wanted, answer.status, headers, body)


class _Digest:
    """A file that grows, and the digest of what it holds."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.length = 0
        if file.is_file():
            with file.open("rb") as opened:
                while chunk := opened.read(CHUNK):
                    self._hash.update(chunk)
                    self.length += len(chunk)

    @property
    def hex(self) -> str:
        """Return the digest so far."""
        return self._hash.hexdigest()

    def restart(self) -> None:
        """Begin anew, with an empty file."""
        self._file.unlink(missing_ok=True)
        self._hash = hashlib.sha256()
        self.length = 0

    def append(
        self, answer: http.client.HTTPResponse, place: str, stop: threads.Stop, count: Fetched
    ) -> bool:
        """Write a body to its end; return whether it was as long as announced."""
        announced = answer.headers.get("Content-Length")
        came = 0
        room = memoryview(bytearray(CHUNK))
        with self._file.open("ab") as opened:
            while size := _read(answer, room, place):
                stop.check()
                faults.write_point()
                opened.write(room[:size])
                self._hash.update(room[:size])
                self.length += size
                came += size
                count.bytes += size
        return announced is None or came == int(announced)


def _read(answer: http.client.HTTPResponse, room: memoryview, place: str) -> int:
    try:
        return answer.readinto(room)
    except (OSError, http.client.HTTPException) as error:
        raise https.unreachable(place, error) from error


def _length(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _total(answer: http.client.HTTPResponse) -> int | None:
    text = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(text) if text.isdigit() else None


def _starts_at(answer: http.client.HTTPResponse, place: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {place}-")
