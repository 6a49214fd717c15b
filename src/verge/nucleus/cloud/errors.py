"""What may go wrong between the device and its cloud."""

from __future__ import annotations

from verge.nucleus import errors


class CloudError(errors.NucleusError):
    """The cloud cannot be used."""


class UnreachableError(CloudError):
    """No answer, or one that may be another the next time: try again later."""


class RefusedError(CloudError):
    """The cloud said no, and will say so again: `status` is that of HTTP, `text` its message."""

    def __init__(self, reason: str, status: int, text: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.text = text
