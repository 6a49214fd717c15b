"""AWS Signature Version 4, and the older query signature that boto3 still presigns with."""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote, urlencode

from werkzeug.wrappers import Request

from verge.cloud.http import routing
from verge.cloud.objects import chunks, faults

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW = 15 * 60
MAX_EXPIRES = 7 * 24 * 3600
UNSIGNED = "UNSIGNED-PAYLOAD"

_HEADER = re.compile(
    rf"{ALGORITHM} +Credential=(?P<credential>[^,\s]+), *SignedHeaders=(?P<headers>[^,\s]+), *"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_TIME = "%Y%m%dT%H%M%SZ"
_SAFE = "-_.~"
_SUBRESOURCES = frozenset(
    {"acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber"}
    | {"policy", "requestPayment", "tagging", "torrent", "uploadId", "uploads", "versionId"}
    | {"response-cache-control", "response-content-disposition", "response-content-encoding"}
    | {"response-content-language", "response-content-type", "response-expires"}
    | {"versioning", "versions", "website"}
)


class Signature(NamedTuple):
    """What a signed request says of itself."""

    access_key_id: str
    value: str
    token: str | None
    version: int
    """4, or 2 for the older query signature."""
    presigned: bool
    stamp: str = ""
    scope: str = ""
    headers: tuple[str, ...] = ()


def read(request: Request, now: float) -> Signature | None:
    """Return the signature of a request; None if it has none. Raises FaultError.

    Refuses what has expired and what is malformed; `verify` does the rest.
    """
    if "X-Amz-Signature" in request.args:
        return _read_query(request, now)
    if "Signature" in request.args and "AWSAccessKeyId" in request.args:
        return _read_old_query(request, now)
    header = request.headers.get("Authorization")
    if header is None:
        return None
    match = _HEADER.fullmatch(header.strip())
    if match is None:
        raise faults.FaultError(
            "AuthorizationHeaderMalformed", f"The authorization header is not {ALGORITHM}."
        )
    key, scope = _split(match["credential"])
    return Signature(
        access_key_id=key,
        value=match["signature"],
        token=request.headers.get("X-Amz-Security-Token"),
        version=4,
        presigned=False,
        stamp=request.headers.get("X-Amz-Date", ""),
        scope=scope,
        headers=tuple(match["headers"].split(";")),
    )


def verify(request: Request, signature: Signature, secret: str, now: float) -> None:
    """Raise FaultError unless the request was signed with the secret."""
    if signature.version == 2:
        expected = _old_signature(request, secret)
    else:
        if not signature.presigned:
            _check_skew(signature.stamp, now)
        expected = _sign(secret, signature, _canonical(request, signature))
    if not hmac.compare_digest(expected, signature.value):
        raise faults.FaultError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check "
            "your key and signing method.",
        )


def chunk_signer(signature: Signature, secret: str) -> chunks.Sign:
    """Return what signs the chunks of a body, one after the other."""
    previous = signature.value
    empty = hashlib.sha256(b"").hexdigest()

    def sign(digest: str) -> str:
        nonlocal previous
        text = "\n".join(
            (f"{ALGORITHM}-PAYLOAD", signature.stamp, signature.scope, previous, empty, digest)
        )
        previous = _hmac(_signing_key(secret, signature.scope), text).hex()
        return previous

    return sign


def presign(
    *, host: str, path: str, key: tuple[str, str], region: str, seconds: int, now: float
) -> str:
    """Return a URL that reads `path` (raw); `host` is "https://NAME:PORT", `key` id and secret."""
    stamp = time.strftime(_TIME, time.gmtime(now))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{key[0]}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    canonical = "\n".join(
        (
            "GET",
            path,
            _canonical_query(query.items()),
            f"host:{host.partition('://')[2]}",
            "",
            "host",
            UNSIGNED,
        )
    )
    unsigned = Signature(key[0], "", None, 4, presigned=True, stamp=stamp, scope=scope)
    query["X-Amz-Signature"] = _sign(key[1], unsigned, canonical)
    return f"{host}{path}?{urlencode(query, quote_via=quote)}"


def _read_query(request: Request, now: float) -> Signature:
    args = request.args
    try:
        expires = int(args["X-Amz-Expires"])
        begun = _seconds(args["X-Amz-Date"])
        key, scope = _split(args["X-Amz-Credential"])
        headers = tuple(args["X-Amz-SignedHeaders"].split(";"))
        valid = args["X-Amz-Algorithm"] == ALGORITHM and 0 < expires <= MAX_EXPIRES
    except (KeyError, ValueError):
        valid = False
    if not valid:
        raise faults.FaultError(
            "AuthorizationQueryParametersError", "The query is not a complete presigned one."
        )
    if now > begun + expires:
        raise faults.FaultError("AccessDenied", "Request has expired")
    if begun > now + MAX_SKEW:
        raise faults.FaultError("AccessDenied", "Request is not yet valid")
    return Signature(
        access_key_id=key,
        value=args["X-Amz-Signature"],
        token=args.get("X-Amz-Security-Token"),
        version=4,
        presigned=True,
        stamp=args["X-Amz-Date"],
        scope=scope,
        headers=headers,
    )


def _read_old_query(request: Request, now: float) -> Signature:
    expires = request.args.get("Expires", "")
    if not expires.isdigit():
        raise faults.FaultError("AccessDenied", "Invalid date (should be seconds since epoch)")
    if now > int(expires):
        raise faults.FaultError("AccessDenied", "Request has expired")
    return Signature(
        access_key_id=request.args["AWSAccessKeyId"],
        value=request.args["Signature"],
        token=request.args.get("x-amz-security-token"),
        version=2,
        presigned=True,
    )


def _split(credential: str) -> tuple[str, str]:
    key, _, scope = credential.partition("/")
    parts = scope.split("/")
    if not key or len(parts) != 4 or parts[3] != "aws4_request":
        raise faults.FaultError(
            "AuthorizationHeaderMalformed", "The credential is not KEY/DATE/REGION/s3/aws4_request."
        )
    return key, scope


def _check_skew(stamp: str, now: float) -> None:
    try:
        begun = _seconds(stamp)
    except ValueError:
        raise faults.FaultError(
            "AccessDenied", "The request needs its time in the header x-amz-date."
        ) from None
    if abs(now - begun) > MAX_SKEW:
        raise faults.FaultError(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        )


def _seconds(stamp: str) -> int:
    return calendar.timegm(time.strptime(stamp, _TIME))


def _canonical(request: Request, signature: Signature) -> str:
    headers = request.environ.get("verge.headers", request.headers)
    lines = []
    for name in signature.headers:
        values = headers.get_all(name) if hasattr(headers, "get_all") else headers.getlist(name)
        lines.append(f"{name}:{','.join(' '.join(value.split()) for value in values or [])}")
    payload = request.headers.get("X-Amz-Content-Sha256", UNSIGNED)
    if signature.presigned and "x-amz-content-sha256" not in signature.headers:
        payload = UNSIGNED
    return "\n".join(
        (
            request.method,
            quote(unquote(routing.raw_path(request)), safe=f"/{_SAFE}"),
            _canonical_query(_raw_query(request)),
            *lines,
            "",
            ";".join(signature.headers),
            payload,
        )
    )


def _raw_query(request: Request) -> list[tuple[str, str]]:
    # Not parsed as a form: a plus sign is a plus sign.
    pairs = (part.partition("=") for part in request.query_string.decode("latin-1").split("&"))
    return [
        (unquote(name), unquote(value))
        for name, _, value in pairs
        if name and name != "X-Amz-Signature"
    ]


def _canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    encoded = sorted((quote(name, safe=_SAFE), quote(value, safe=_SAFE)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _sign(secret: str, signature: Signature, canonical: str) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{signature.stamp}\n{signature.scope}\n{digest}"
    return _hmac(_signing_key(secret, signature.scope), text).hex()


def _signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _old_signature(request: Request, secret: str) -> str:
    amz = sorted(
        (name.lower(), ",".join(request.headers.getlist(name)))
        for name in {name.lower() for name in request.headers.keys()}  # noqa: SIM118  # pairs otherwise
        if name.startswith("x-amz-")
    )
    amz += [(name, value) for name, value in _raw_query(request) if name == "x-amz-security-token"]
    selected = sorted((name, value) for name, value in _raw_query(request) if name in _SUBRESOURCES)
    resource = routing.raw_path(request)
    if selected:
        pairs = (f"{name}={value}" if value else name for name, value in selected)
        resource += "?" + "&".join(pairs)
    text = "\n".join(
        (
            request.method,
            request.headers.get("Content-MD5", ""),
            request.headers.get("Content-Type", ""),
            request.args["Expires"],
            *(f"{name}:{value}" for name, value in amz),
            resource,
        )
    )
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()
