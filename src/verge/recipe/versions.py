"""Versions and version ranges in the dialect of Greengrass (contract 1.2 and 1.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from verge.recipe import ranges, semver

Version = semver.Version

_PORTABLE = re.compile(rf"{semver.FULL}|(?:[<>]=?|=){semver.FULL}(?: +(?:[<>]=?|=){semver.FULL})*")


class Requirement(msgspec.Struct, frozen=True):
    """A version range: the text as written and what it allows."""

    text: str
    range: ranges.Range

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Return the range written as `text`; anything else is a RequirementError.

        `*` and the empty text are `>=0.0.0`.
        """
        return _parse(text)

    def allows(self, version: Version | str) -> bool:
        """Return whether the version satisfies this range, pre-releases as in contract 1.3."""
        return self.range.allows(_version(version))

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=2048)
def _parse(text: str) -> Requirement:
    return Requirement(text, ranges.parse(text))


def join(requirements: Iterable[Requirement | str]) -> Requirement:
    """Return the range Greengrass makes of several requesters': their texts joined by a space.

    `A || B` joined with `C` therefore means "A, or B and C" (contract 1.3).
    """
    texts = [str(_requirement(requirement)).strip() for requirement in requirements]
    return Requirement.parse(" ".join(text for text in texts if text))


def highest(versions: Iterable[Version | str], requirement: Requirement | str) -> Version | None:
    """Return the highest of the versions that the range allows, or None."""
    wanted = _requirement(requirement)
    return max((v for v in map(_version, versions) if wanted.allows(v)), default=None)


def is_portable(requirement: Requirement | str) -> bool:
    """Return whether Greengrass Lite understands the range too.

    That is an exact version, or comparators with full versions, separated by spaces.
    """
    return _PORTABLE.fullmatch(str(requirement).strip()) is not None


def _version(version: Version | str) -> Version:
    return Version.parse(version) if isinstance(version, str) else version


def _requirement(requirement: Requirement | str) -> Requirement:
    return Requirement.parse(requirement) if isinstance(requirement, str) else requirement
