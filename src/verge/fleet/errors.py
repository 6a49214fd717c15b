"""What can go wrong in the tooling, said so that the next step is clear."""

from __future__ import annotations


class FleetError(Exception):
    """A command of the tooling cannot go on.

    `message` names the thing and the place, starts in lower case and is one sentence; `hint`, where
    there is one, is the next step, ready to print on a line of its own.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[FleetError], tuple[str, str | None]]:
        return type(self), (self.message, self.hint)


def describe(error: OSError) -> str:
    """Return the reason of an operating system error, such as "permission denied"."""
    reason = error.strerror or type(error).__name__
    return reason[:1].lower() + reason[1:]
