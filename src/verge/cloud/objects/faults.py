"""Refusals of S3 by their codes."""

from __future__ import annotations

from verge.cloud import errors

_STATUS = {
    "AccessDenied": 403,
    "BucketNotEmpty": 409,
    "InvalidAccessKeyId": 403,
    "InvalidRange": 416,
    "InvalidToken": 403,
    "MethodNotAllowed": 405,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "NoSuchVersion": 404,
    "NotImplemented": 501,
    "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403,
    "SignatureDoesNotMatch": 403,
}


class FaultError(errors.CloudError):
    """A request that S3 refuses; `status` is that of HTTP, 400 for most codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = _STATUS.get(code, 400)
