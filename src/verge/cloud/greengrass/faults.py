"""What the Greengrass API answers when it refuses (contract 5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from verge.cloud import errors

SERVICE_CODE = "greengrass"


class Fault(errors.CloudError):
    """A refusal: `code` and `status` as the client sees them, `fields` beside the message."""

    code: ClassVar[str] = "InternalServerException"
    status: ClassVar[int] = 500

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields: Mapping[str, Any] = fields


class ValidationFault(Fault):
    """The request is not one that the operation takes."""

    code = "ValidationException"
    status = 400

    def __init__(
        self,
        message: str,
        *,
        reason: str = "FIELD_VALIDATION_FAILED",
        fields: Sequence[tuple[str, str]] = (),
    ) -> None:
        named = [{"name": name, "message": text} for name, text in fields]
        super().__init__(message, reason=reason, fields=named)


class InProgressFault(Fault):
    """The same request is being carried out."""

    code = "RequestAlreadyInProgressException"
    status = 400


class AccessFault(Fault):
    """What was named belongs to another account."""

    code = "AccessDeniedException"
    status = 403


class NotFoundFault(Fault):
    """What was named does not exist."""

    code = "ResourceNotFoundException"
    status = 404

    def __init__(self, message: str, resource_id: str, resource_type: str) -> None:
        super().__init__(message, resourceId=resource_id, resourceType=resource_type)


class ConflictFault(Fault):
    """What was named is in a state that does not allow it."""

    code = "ConflictException"
    status = 409

    def __init__(self, message: str, resource_id: str, resource_type: str) -> None:
        super().__init__(message, resourceId=resource_id, resourceType=resource_type)


def invalid(field: str, message: str) -> ValidationFault:
    """Return the refusal of one field of a request."""
    return ValidationFault(f"Invalid Input: {message}", fields=[(field, message)])
