"""Signatures, compared with those of botocore."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from botocore import auth, awsrequest, credentials

from verge.nucleus.cloud import sigv4

KEYS = sigv4.Keys("AKIDEXAMPLE", "secret/key+x", "a//token==", 0.0)
NOW = dt.datetime(2026, 11, 21, 20, 52, 8, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "url",
    [
        "https://bucket.s3.eu-west-1.amazonaws.com/key.zip",
        "https://127.0.0.1:8443/bucket/a/b%20c/%C3%A4.zip",
        "https://bucket.s3.eu-west-1.amazonaws.com/key?versionId=a%2Fb&x=",
        "https://bucket.s3.eu-west-1.amazonaws.com/",
    ],
)
@pytest.mark.parametrize("headers", [{}, {"range": "bytes=10-"}], ids=["plain", "range"])
def test_signature_is_that_of_botocore(
    url: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same request at the same time has the same signature."""
    monkeypatch.setattr(auth, "get_current_datetime", lambda **_: NOW.replace(tzinfo=None))
    request = awsrequest.AWSRequest("GET", url, headers=dict(headers))
    given = credentials.Credentials(KEYS.access_key, KEYS.secret_key, KEYS.token)
    signer: Any = auth.S3SigV4Auth(given, "s3", "eu-west-1")
    signer.add_auth(request)
    ours = sigv4.signed_headers(
        url,
        {**headers, "x-amz-content-sha256": request.headers["X-Amz-Content-SHA256"]},
        keys=KEYS,
        region="eu-west-1",
        service="s3",
        now=NOW.timestamp(),
    )
    assert ours["authorization"] == request.headers["Authorization"]
