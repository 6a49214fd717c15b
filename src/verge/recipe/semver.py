"""What a version is, and which of two is newer (contract 1.2, semver 2.0)."""

from __future__ import annotations

import re

import msgspec

from verge.recipe import errors

MAX_PART = 999_999
MAX_LENGTH = 64

NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = rf"(?:{NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_BUILD = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
FULL = rf"{NUMBER}\.{NUMBER}\.{NUMBER}(?:-{_IDENTIFIER}(?:\.{_IDENTIFIER})*)?(?:\+{_BUILD})?"
_VERSION = re.compile(FULL)


class Version(msgspec.Struct, frozen=True, order=True):
    """A semantic version, ordered as semver 2.0 says and then by build metadata.

    `precedence` is what ranges look at: two versions that differ in build metadata only have the
    same one, although they are different versions.
    """

    precedence: tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]
    build: tuple[tuple[bool, int, str], ...]
    text: str

    @classmethod
    def parse(cls, text: str) -> Version:
        """Return the version written as `text`; anything else is a RequirementError."""
        if len(text) > MAX_LENGTH or _VERSION.fullmatch(text) is None:
            reason = f"cannot read version {shorten(text)}: must be MAJOR.MINOR.PATCH as in 1.0.0"
            raise errors.RequirementError(reason, text=text)
        rest, _, build = text.partition("+")
        core, _, pre = rest.partition("-")
        major, minor, patch = (int(part) for part in core.split("."))
        if max(major, minor, patch) > MAX_PART:
            reason = f"cannot read version {text!r}: a part may be {MAX_PART} at most"
            raise errors.RequirementError(reason, text=text)
        precedence = (major, minor, patch, not pre, _identifiers(pre))
        return cls(precedence, _identifiers(build), text)

    @property
    def core(self) -> tuple[int, int, int]:
        """Return major, minor and patch."""
        return self.precedence[:3]

    @property
    def is_prerelease(self) -> bool:
        """Return whether the version has a pre-release suffix."""
        return not self.precedence[3]

    @property
    def next_patch(self) -> Version:
        """Return the release whose patch number is one higher."""
        major, minor, patch = self.core
        return Version.parse(f"{major}.{minor}.{patch + 1}")

    def __str__(self) -> str:
        return self.text


def shorten(text: str) -> str:
    """Return the text in quotes, cut where it is too long for a message."""
    return repr(text) if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]!r}…"


def _identifiers(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Return the identifiers as they compare: numbers first, by value, then words."""
    parts = text.split(".") if text else ()
    return tuple((False, int(p), "") if p.isdecimal() else (True, 0, p) for p in parts)
