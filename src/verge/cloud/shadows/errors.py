"""What the shadow service refuses, with the codes it uses on MQTT and HTTP alike."""

from __future__ import annotations

from verge.cloud import errors

INVALID = 400
NOT_FOUND = 404
CONFLICT = 409
TOO_LARGE = 413


class ShadowError(errors.CloudError):
    """A request that the service refuses; `code` is the status of HTTP."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class MissingError(ShadowError, errors.NotFoundError):
    """The thing or the shadow does not exist."""

    def __init__(self, message: str) -> None:
        super().__init__(NOT_FOUND, message)


def missing(thing: str, name: str | None) -> MissingError:
    """Return the error for a shadow that does not exist."""
    shadow = f"{thing}~{name}" if name else thing
    return MissingError(f"No shadow exists with name: '{shadow}'")
