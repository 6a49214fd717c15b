"""Errors that an operation answers, in the shapes that all SDKs read (contract 4.6, 4.8)."""

from __future__ import annotations

from typing import Any

import msgspec

from verge.nucleus.ipc import rpc

_SERVICE = f"{rpc.NAMESPACE}GreengrassCoreIPC"


class OperationError(Exception):
    """A modelled error; `name` is its shape without prefix, `details` its further fields."""

    def __init__(self, name: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.details = details

    @property
    def model(self) -> str:
        """The full name of the shape."""
        return rpc.NAMESPACE + self.name

    def body(self) -> bytes:
        """Return the JSON body: `message` for Python, the underscored fields for the others."""
        return msgspec.json.encode(
            {
                "message": self.message,
                **self.details,
                "_service": _SERVICE,
                "_message": self.message,
                "_errorCode": self.name,
            }
        )


def service_error(message: str) -> OperationError:
    """Return the error for what the nucleus cannot do."""
    return OperationError("ServiceError", message)


def not_supported(operation: str) -> OperationError:
    """Return the error for an operation that nobody here serves."""
    return service_error(f"Operation {operation} is not supported by Greengrass")


def invalid_arguments(message: str) -> OperationError:
    """Return the error for a request that makes no sense."""
    return OperationError("InvalidArgumentsError", message)


def unauthorized(message: str) -> OperationError:
    """Return the error for what no policy allows."""
    return OperationError("UnauthorizedError", message)


def not_found(kind: str, name: str, message: str) -> OperationError:
    """Return the error for a thing that does not exist."""
    return OperationError("ResourceNotFoundError", message, resourceType=kind, resourceName=name)


def required(field: str, value: Any) -> Any:
    """Return the value of a request field. Raises InvalidArgumentsError if it is absent."""
    if value is None:
        raise invalid_arguments(f"{field} is required")
    return value
