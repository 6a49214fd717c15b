"""What can go wrong, by who has to act."""

from __future__ import annotations


class DetectionError(Exception):
    """Base of this package's errors."""


class CardError(DetectionError):
    """The card of the model cannot be used; the text names the place in it."""


class ModelError(DetectionError):
    """The model does not match its card or cannot be loaded."""


class PictureError(DetectionError):
    """A picture is refused; `code` and `reason` go into the rejection message."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
