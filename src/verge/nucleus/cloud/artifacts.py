"""Where artifacts lie: objects of S3, or addresses that the data plane signs (contract 1.6)."""

from __future__ import annotations

import os
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from verge.nucleus import settings
from verge.nucleus.cloud import credentials, data_plane, errors, http, sigv4

_STALE_KEYS = ("ExpiredToken", "InvalidToken", "InvalidAccessKeyId")
MOST_RENEWALS = 5
"""Signed addresses for one artifact, one after the other refused, before that is an answer."""

_CLOCK = "RequestTimeTooSkewed"


@dataclass(frozen=True)
class Wanted:
    """An artifact of a component version; `arn` is empty where the cloud did not say."""

    component: str
    version: str
    arn: str
    uri: str
    sha256: str
    """In lower-case hexadecimal digits."""

    @property
    def name(self) -> str:
        """Return the artifact as people know it."""
        return f"{self.uri.rpartition('/')[2]} of {self.component} {self.version}"


class Places:
    """Makes requests for artifacts. All methods may block."""

    def __init__(
        self,
        configured: settings.Settings,
        plane: data_plane.DataPlane,
        given: credentials.Credentials,
    ) -> None:
        self._settings = configured
        self._plane = plane
        self._credentials = given
        self._regions: dict[str, str] = {}
        self._urls: dict[Wanted, str] = {}
        self._renewed: dict[Wanted, int] = {}
        self._used: sigv4.Keys | None = None

    def request(self, wanted: Wanted, headers: Mapping[str, str]) -> http.Request:
        """Return the request for an artifact. Raises CloudError."""
        scheme, _, rest = wanted.uri.partition(":")
        if scheme.lower() == "s3":
            return self._s3(rest.removeprefix("//"), headers)
        if wanted not in self._urls:
            self._urls[wanted] = self._plane.artifact_url(wanted.arn, rest)
        return http.Request(self._urls[wanted], headers=headers)

    def served(self, wanted: Wanted) -> None:
        """Take note that the last request for an artifact was answered with its content."""
        self._renewed.pop(wanted, None)

    def explain(
        self, wanted: Wanted, status: int, headers: Mapping[str, str], body: bytes
    ) -> errors.CloudError:
        """Return the error an answer stands for; another attempt may use what it tells."""
        error = http.failure(status, body, f"download {wanted.name}", _host(wanted.uri))
        if not isinstance(error, errors.RefusedError):
            return error
        retry = errors.UnreachableError(str(error))
        if self._urls.pop(wanted, None) and status == 403:
            # An address that was signed is valid for a while only.
            self._renewed[wanted] = self._renewed.get(wanted, 0) + 1
            return retry if self._renewed[wanted] <= MOST_RENEWALS else error
        bucket = _host(wanted.uri)
        region = headers.get("x-amz-bucket-region", "")
        if region and region != self._regions.get(bucket, self._settings.region):
            self._regions[bucket] = region
            return retry
        if error.text.startswith(_STALE_KEYS):
            self._credentials.forget(self._used)
            return retry
        return retry if error.text.startswith(_CLOCK) else error

    def _s3(self, location: str, headers: Mapping[str, str]) -> http.Request:
        bucket, _, key = location.partition("/")
        region = self._regions.get(bucket, self._settings.region)
        url = f"{_base(bucket, region)}/{urllib.parse.quote(key, safe='/-_.~')}"
        keys = self._used = self._credentials.keys()
        signed = sigv4.signed_headers(
            url, headers, keys=keys, region=region, service="s3", now=time.time()
        )
        return http.Request(url, headers=signed)


def _base(bucket: str, region: str) -> str:
    """Return the address of a bucket; `AWS_ENDPOINT_URL_S3` is what AWS's own tools read, too."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", "").rstrip("/")
    if endpoint:
        return f"{endpoint}/{bucket}"
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if "." in bucket:  # no certificate fits such a name
        return f"https://s3.{region}.{suffix}/{bucket}"
    return f"https://{bucket}.s3.{region}.{suffix}"


def _host(uri: str) -> str:
    return uri.partition(":")[2].removeprefix("//").partition("/")[0]
