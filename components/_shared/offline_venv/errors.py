"""The one error of this package."""


class InstallError(Exception):
    """The environment cannot be built; the text says what is missing and what to do."""
