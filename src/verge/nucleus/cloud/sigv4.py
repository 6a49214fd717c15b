"""AWS Signature Version 4 for requests without a body. Pure."""

from __future__ import annotations

import hashlib
import hmac
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Keys:
    """Temporary keys; `expires` is seconds since the epoch."""

    access_key: str
    secret_key: str
    token: str
    expires: float


def signed_headers(
    url: str,
    headers: Mapping[str, str],
    *,
    keys: Keys,
    region: str,
    service: str,
    now: float,
    method: str = "GET",
) -> dict[str, str]:
    """Return the headers of a request with its signature; `url` has its path encoded already."""
    parts = urllib.parse.urlsplit(url)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    complete = {
        **headers,
        "host": parts.netloc,
        "x-amz-content-sha256": EMPTY_SHA256,
        "x-amz-date": stamp,
    }
    if keys.token:
        complete["x-amz-security-token"] = keys.token
    lowered = sorted((name.lower(), " ".join(text.split())) for name, text in complete.items())
    names = ";".join(name for name, _ in lowered)
    canonical = "\n".join(
        [
            method,
            parts.path or "/",
            _canonical_query(parts.query),
            *(f"{name}:{text}" for name, text in lowered),
            "",
            names,
            EMPTY_SHA256,
        ]
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    credential = f"Credential={keys.access_key}/{scope}"
    signature = f"SignedHeaders={names}, Signature={_hmac(key, to_sign).hex()}"
    return {**complete, "authorization": f"{_ALGORITHM} {credential}, {signature}"}


def _canonical_query(query: str) -> str:
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    encoded = sorted(
        (urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~")) for k, v in pairs
    )
    return "&".join(f"{name}={value}" for name, value in encoded)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
