"""Upload what waits, the oldest first, for as long as it takes."""

from __future__ import annotations

import logging
import os
import random
import re
import threading
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from capture_uploader import spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from capture_uploader.settings import Settings
    from capture_uploader.spool import Capture, Spool

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
"""Seconds between attempts while S3 cannot be reached; doubled from the first on."""
IDLE = 3600.0
"""Seconds between looks at a bucket that is not configured; a change comes at once."""

_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}
_OTHER = "application/octet-stream"

_log = logging.getLogger(__name__)


def make_client() -> Any:
    """Return an S3 client with the credentials and the endpoint that the nucleus provides.

    They come from the environment (token exchange, `AWS_REGION`, `AWS_ENDPOINT_URL_S3`,
    `AWS_CA_BUNDLE`), as the AWS SDKs document it.
    """
    config = Config(
        connect_timeout=10, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 2}
    )
    return boto3.session.Session().client("s3", config=config)


def key_of(capture: Capture, prefix: str) -> str:
    """Return the key of a capture's picture: prefix, device, day, then time and id.

    Keys sort by time within a device. The result lies beside it, with `.json` for its suffix.
    The device is the one this runs on, whatever the result says: it may put nothing elsewhere, and
    a result from before it was given another name must not hold up all later ones.
    """
    device = os.environ.get("AWS_IOT_THING_NAME") or capture.device
    moment = re.sub(r"[^0-9TZ-]", "", capture.time)
    day = moment[:10]
    name = f"{moment}-{capture.id}{capture.picture.suffix}"
    return "/".join(part for part in (prefix, device, day, name) if part)


class Uploader:
    """A thread that empties the spool."""

    def __init__(
        self, captures: Spool, settings: Callable[[], Settings], client: Callable[[], Any]
    ) -> None:
        """`settings` is asked before every attempt; `client` makes one for S3."""
        self._spool = captures
        self._settings = settings
        self._make_client = client
        self._client: Any = None
        self._stopped = threading.Event()
        self._delay = FIRST_DELAY
        self._said = ""
        # A daemon: a server that does not answer must not keep the process.
        self._thread = threading.Thread(target=self._run, name="upload", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for the end, which comes after the attempt that is under way."""
        self._stopped.set()
        self._spool.wake()

    def settings_changed(self) -> None:
        """Try again at once."""
        self._delay = FIRST_DELAY
        self._spool.wake()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                waits = self._upload_one()
            except spool.SpoolError as error:
                self._say(str(error))
                waits = self._next_delay()
            if waits and not self._stopped.is_set():
                self._spool.wait(waits)

    def _upload_one(self) -> float:
        """Upload the oldest capture; return the seconds to wait before the next attempt."""
        capture, wanted = self._spool.oldest(), self._settings()
        if capture is None:
            self._spool.wait_for_capture()
            return 0.0
        if not wanted.bucket:
            self._say("no bucket is configured; set `bucket`")
            return IDLE
        key = key_of(capture, wanted.prefix)
        try:
            self._put(wanted.bucket, key, capture)
        except FileNotFoundError as error:
            _log.error("Capture lost id=%s reason=%s is gone", capture.id, error.filename)
            self._spool.finish(capture, lost=True)
            return 0.0
        except Exception as error:  # noqa: BLE001 - see below
            # The SDK's errors share no other base: credentials that are over, as they are to a
            # clock that is ahead, are a RuntimeError. Whatever it is may pass, and captures wait.
            self._client = None  # New credentials, new connections.
            self._say(_describe(error))
            return self._next_delay()
        self._spool.finish(capture)
        self._delay, self._said = FIRST_DELAY, ""
        _log.info("Capture uploaded id=%s key=s3://%s/%s", capture.id, wanted.bucket, key)
        return 0.0

    def _put(self, bucket: str, key: str, capture: Capture) -> None:
        """Upload the picture, then the result: where the result is, the capture is whole.

        The keys follow from the capture, so doing it again changes nothing.
        """
        if self._client is None:
            self._client = self._make_client()
        beside = key.removesuffix(capture.picture.suffix) + ".json"
        for path, name, kind in (
            (capture.picture, key, _TYPES.get(capture.picture.suffix, _OTHER)),
            (capture.document, beside, "application/json"),
        ):
            with path.open("rb") as body:
                self._client.put_object(Bucket=bucket, Key=name, Body=body, ContentType=kind)

    def _next_delay(self) -> float:
        delay = self._delay
        self._delay = min(self._delay * 2, LONGEST_DELAY)
        # Devices that lost the network together must not come back together.
        return delay * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def _say(self, reason: str) -> None:
        """Log a reason once, not at every attempt."""
        if reason != self._said:
            self._said = reason
            count, size = self._spool.waiting()
            _log.warning("Captures wait count=%d bytes=%d reason=%s", count, size, reason)


def _describe(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
