"""Versions and version ranges in the dialect of Greengrass (contract 1.2 and 1.3).

`node-semver` says what a caret, a tilde, a partial version or a hyphen range means. What is
accepted at all, how terms combine and when a pre-release matches is decided here, because
Greengrass differs from npm in all three.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

import msgspec
import nodesemver

from verge.recipe import errors

MAX_PART = 999_999
MAX_LENGTH = 64
MAX_REQUIREMENT_LENGTH = 1024
MAX_BRACKETS = 16

_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_BUILD = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_FULL = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_IDENTIFIER}(?:\.{_IDENTIFIER})*)?(?:\+{_BUILD})?"
_VERSION = re.compile(_FULL)
_PARTIAL = re.compile(
    rf"{_FULL}|{_NUMBER}\.{_NUMBER}(?:\.[xX*])?|{_NUMBER}(?:\.[xX*]){{0,2}}|[xX*](?:\.[xX*]){{0,2}}"
)
_TOKEN = re.compile(
    r"(?P<gap>\s*)(?:(?P<or>\|\|)|(?P<open>\()|(?P<close>\))|(?P<hyphen>-(?=\s))"
    r"|(?P<operator>[<>]=?|=|\^|~)|(?P<version>[0-9A-Za-z*][0-9A-Za-z*.+-]*)|(?P<unknown>\S))"
)
_PORTABLE = re.compile(rf"{_FULL}|(?:[<>]=?|=){_FULL}(?: +(?:[<>]=?|=){_FULL})*")


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
            reason = f"cannot read version {_shorten(text)}: must be MAJOR.MINOR.PATCH as in 1.0.0"
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
    def is_prerelease(self) -> bool:
        """Return whether the version has a pre-release suffix."""
        return not self.precedence[3]

    @property
    def next_patch(self) -> Version:
        """Return the release whose patch number is one higher."""
        major, minor, patch = self.precedence[:3]
        return Version.parse(f"{major}.{minor}.{patch + 1}")

    def __str__(self) -> str:
        return self.text


class Requirement(msgspec.Struct, frozen=True):
    """A version range: alternatives of terms that must all hold."""

    text: str
    root: _Comparators | _All | _Any

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Return the range written as `text`; anything else is a RequirementError.

        `*` and the empty text are `>=0.0.0`, as in contract 1.3.
        """
        return _parse_requirement(text)

    def allows(self, version: Version | str) -> bool:
        """Return whether the version satisfies this range, pre-releases as in contract 1.3."""
        return self.root.allows(_version(version))

    def __str__(self) -> str:
        return self.text


class _Comparators(msgspec.Struct, frozen=True):
    """Comparators joined by AND; a pre-release must be named by one of them if they are several."""

    items: tuple[tuple[str, Version], ...]

    def allows(self, version: Version) -> bool:
        if not all(_holds(sign, version, bound) for sign, bound in self.items):
            return False
        if not version.is_prerelease or len(self.items) == 1:
            return True
        core = version.precedence[:3]
        return any(bound.is_prerelease and bound.precedence[:3] == core for _, bound in self.items)


class _All(msgspec.Struct, frozen=True):
    children: tuple[_Comparators | _All | _Any, ...]

    def allows(self, version: Version) -> bool:
        return all(child.allows(version) for child in self.children)


class _Any(msgspec.Struct, frozen=True):
    children: tuple[_Comparators | _All | _Any, ...]

    def allows(self, version: Version) -> bool:
        return any(child.allows(version) for child in self.children)


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

    That is an exact version or comparators with full versions, separated by spaces.
    """
    return _PORTABLE.fullmatch(str(requirement).strip()) is not None


def _version(version: Version | str) -> Version:
    return Version.parse(version) if isinstance(version, str) else version


def _requirement(requirement: Requirement | str) -> Requirement:
    return Requirement.parse(requirement) if isinstance(requirement, str) else requirement


def _identifiers(text: str) -> tuple[tuple[bool, int, str], ...]:
    parts = text.split(".") if text else ()
    return tuple((False, int(p), "") if p.isdecimal() else (True, 0, p) for p in parts)


def _holds(sign: str, version: Version, bound: Version) -> bool:
    left, right = version.precedence, bound.precedence
    if (sign.startswith(">") and left > right) or (sign.startswith("<") and left < right):
        return True
    return sign not in {"<", ">"} and left == right


def _shorten(text: str) -> str:
    return repr(text) if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]!r}…"


@lru_cache(maxsize=2048)
def _parse_requirement(text: str) -> Requirement:
    if len(text) > MAX_REQUIREMENT_LENGTH:
        raise _refusal(text, f"it is longer than {MAX_REQUIREMENT_LENGTH} characters")
    if not text.strip():
        return Requirement(text, _desugar("*", text))
    return Requirement(text, _Parser(text).parse())


def _refusal(text: str, reason: str) -> errors.RequirementError:
    message = f"cannot read version range {_shorten(text)}: {reason}"
    return errors.RequirementError(message, text=text)


class _Parser:
    """Recursive descent over the grammar of contract 1.3; OR binds weakest."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: Iterator[re.Match[str]] = _TOKEN.finditer(text)
        self._depth = 0
        self._advance()

    def parse(self) -> _Comparators | _All | _Any:
        root = self._alternatives()
        if self._kind == "close":
            raise self._refuse("a bracket closes that was not opened")
        return root

    def _advance(self) -> None:
        token = next(self._tokens, None)
        self._kind = (token and token.lastgroup) or ""
        self._value = token[self._kind] if token and self._kind else ""
        self._spaced = bool(token and token["gap"])
        if self._kind == "unknown":
            hint = "separate comparators by spaces and alternatives by ||"
            raise self._refuse(f"{self._value!r} has no meaning here; {hint}")

    def _refuse(self, reason: str) -> errors.RequirementError:
        return _refusal(self._text, reason)

    def _alternatives(self) -> _Comparators | _All | _Any:
        children = [self._conjunction()]
        while self._kind == "or":
            self._advance()
            children.append(self._conjunction())
        return children[0] if len(children) == 1 else _Any(tuple(children))

    def _conjunction(self) -> _Comparators | _All | _Any:
        """Read terms up to `||` or a bracket; plain comparators count as one group."""
        items: list[tuple[str, Version]] = []
        nested: list[_Comparators | _All | _Any] = []
        while self._kind in {"open", "operator", "version"}:
            if (items or nested) and not self._spaced:
                raise self._refuse(f"there must be a space before {self._value!r}")
            child = self._bracket() if self._kind == "open" else self._term()
            if isinstance(child, _Comparators):
                items.extend(child.items)
            else:
                nested.append(child)
        if not items and not nested:
            raise self._refuse(f"a version is missing {self._where()}")
        if self._kind == "hyphen":
            raise self._refuse("a hyphen range is written as in 1.0.0 - 2.0.0")
        if not nested:
            return _Comparators(tuple(items))
        if items:
            nested.insert(0, _Comparators(tuple(items)))
        return nested[0] if len(nested) == 1 else _All(tuple(nested))

    def _where(self) -> str:
        return f"before {self._value!r}" if self._kind else "at the end"

    def _bracket(self) -> _Comparators | _All | _Any:
        self._depth += 1
        if self._depth > MAX_BRACKETS:
            raise self._refuse(f"brackets are nested deeper than {MAX_BRACKETS}")
        self._advance()
        inner = self._alternatives()
        if self._kind != "close":
            raise self._refuse("a bracket is not closed")
        self._depth -= 1
        self._advance()
        return inner

    def _term(self) -> _Comparators:
        sign = ""
        if self._kind == "operator":
            sign = self._value
            self._advance()
        low = self._partial()
        if sign or self._kind != "hyphen":
            return self._expand(sign + low)
        if not self._spaced:
            raise self._refuse("a hyphen range is written as in 1.0.0 - 2.0.0")
        self._advance()
        return self._expand(f"{low} - {self._partial()}")

    def _partial(self) -> str:
        value = self._value
        if self._kind != "version":
            raise self._refuse(f"a version is missing {self._where()}")
        if _PARTIAL.fullmatch(value) is None:
            raise self._refuse(f"{_shorten(value)} is not a version or part of one")
        if any(int(part) > MAX_PART for part in re.findall(r"(?:^|\.)(\d+)", _core(value))):
            raise self._refuse(f"a part of a version may be {MAX_PART} at most")
        self._advance()
        return value

    def _expand(self, term: str) -> _Comparators:
        return _desugar(term, self._text)


def _core(version: str) -> str:
    return re.split(r"[-+]", version, maxsplit=1)[0]


def _desugar(term: str, text: str) -> _Comparators:
    """Return the comparators node-semver makes of one term."""
    try:
        (comparators,) = nodesemver.make_range(term, loose=False).set
    except ValueError:
        raise _refusal(text, f"{term!r} has no meaning") from None
    return _Comparators(tuple(map(_comparator, comparators)))


def _comparator(comparator: nodesemver.Comparator) -> tuple[str, Version]:
    bound = comparator.semver
    if bound is nodesemver.ANY:
        return ">=", Version.parse("0.0.0")
    pre = tuple(
        (False, part, "") if isinstance(part, int) else (True, 0, part) for part in bound.prerelease
    )
    precedence = (bound.major, bound.minor, bound.patch, not pre, pre)
    return comparator.operator or "=", Version(precedence, (), str(bound))
