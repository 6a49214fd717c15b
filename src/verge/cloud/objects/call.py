"""One request to S3: what it is about and what it may."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from werkzeug.wrappers import Request

from verge.cloud.http import routing
from verge.cloud.objects import access, documents, faults, store

KEPT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
)
_META = "x-amz-meta-"
_MAX_METADATA = 2048
_MAX_KEY = 1024


class Target(NamedTuple):
    """What a request names; both empty for the service itself, the key for a bucket."""

    bucket: str
    key: str


def target(request: Request, region: str) -> Target:
    """Read bucket and key from host and path."""
    path = unquote(routing.raw_path(request))[1:]
    host = request.host.rpartition(":")[0] or request.host
    suffix = rf"s3[.-]({re.escape(region)}|dualstack\.{re.escape(region)})?\.?amazonaws\.com"
    match = re.fullmatch(rf"(?P<bucket>.+?)\.({suffix}|localhost)", host)
    if match is not None:
        return Target(match["bucket"], path)
    bucket, _, key = path.partition("/")
    return Target(bucket, key)


class Call:
    """A request whose sender is known. Operations ask for permission before they do anything."""

    def __init__(
        self,
        request: Request,
        named: Target,
        guard: access.Access,
        caller: access.Caller,
        *,
        trusted: bool,
    ) -> None:
        self.request = request
        self.bucket = named.bucket
        self.key = named.key
        self.caller = caller
        self._access = guard
        self._trusted = trusted

    @property
    def args(self) -> Mapping[str, str]:
        """The query."""
        return self.request.args

    def header(self, name: str) -> str | None:
        """Return a header."""
        return self.request.headers.get(name)

    def require(self, action: str, bucket: str | None = None, name: str | None = None) -> None:
        """Raise FaultError unless the action is allowed, by default on what the request names."""
        self._access.require(
            self.caller,
            action,
            self.bucket if bucket is None else bucket,
            self.key if name is None else name,
            trusted=self._trusted,
        )

    def missing(self, bucket: str | None = None, key: str | None = None) -> faults.FaultError:
        """Return the refusal for an object that is not there.

        Who may not list the bucket does not learn what is in it.
        """
        bucket, key = bucket or self.bucket, key or self.key
        if not self._access.allows(
            self.caller, "s3:ListBucket", bucket, key, trusted=self._trusted
        ):
            return faults.FaultError("AccessDenied", "Access Denied")
        return faults.FaultError("NoSuchKey", "The specified key does not exist.")

    def attributes(self) -> store.Attributes:
        """Return the headers that stay with an object. Raises FaultError."""
        raw = self.request.environ.get("verge.headers", self.request.headers)
        metadata: dict[str, str] = {}
        for name, value in raw.items():
            if name.lower().startswith(_META):
                metadata[name.lower().removeprefix(_META)] = value
        if sum(len(name) + len(value) for name, value in metadata.items()) > _MAX_METADATA:
            raise faults.FaultError(
                "MetadataTooLarge", "Your metadata headers exceed the maximum allowed size."
            )
        headers = {name: value for name in KEPT_HEADERS if (value := self.header(name))}
        encodings = [
            word
            for word in headers.pop("content-encoding", "").split(",")
            if word.strip() and word.strip() != "aws-chunked"
        ]
        if encodings:
            headers["content-encoding"] = ",".join(encodings)
        if headers.get("x-amz-storage-class") == "STANDARD":
            del headers["x-amz-storage-class"]
        return store.Attributes(headers=headers, metadata=metadata)

    def tags(self) -> dict[str, str]:
        """Return the tags of the header `x-amz-tagging`. Raises FaultError."""
        return documents.checked_tags(
            dict(parse_qsl(self.header("x-amz-tagging") or "", keep_blank_values=True))
        )

    def check_key(self) -> None:
        """Raise FaultError for a key that S3 does not take."""
        if len(self.key.encode("utf-8", "surrogateescape")) > _MAX_KEY:
            raise faults.FaultError("KeyTooLongError", "Your key is too long")
        if "\x00" in self.key:
            raise faults.FaultError("InvalidArgument", "A key has no NUL characters.")
