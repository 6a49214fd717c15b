"""The grammar of version ranges and what they allow (contract 1.3).

`node-semver` says what a caret, a tilde, a partial version or a hyphen range means. What is
accepted at all, how terms combine and when a pre-release matches is decided here, because
Greengrass differs from npm in all three.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from verge.recipe import errors, semver

MAX_LENGTH = 1024
MAX_BRACKETS = 16

_FULL = re.compile(semver.FULL)
_PARTIAL = re.compile(
    rf"{semver.FULL}"
    rf"|{semver.NUMBER}\.{semver.NUMBER}(?:\.[xX*])?"
    rf"|{semver.NUMBER}(?:\.[xX*]){{0,2}}"
    r"|[xX*](?:\.[xX*]){0,2}"
)
_TOKEN = re.compile(
    r"(?P<gap>\s*)(?:(?P<or>\|\|)|(?P<open>\()|(?P<close>\))|(?P<hyphen>-(?=\s))"
    r"|(?P<operator>[<>]=?|=|\^|~)|(?P<version>[0-9A-Za-z*][0-9A-Za-z*.+-]*)|(?P<unknown>\S))"
)
_COMPARISONS = frozenset({"", "=", ">", ">=", "<", "<="})
_HYPHEN_HINT = "a hyphen range is written as in 1.0.0 - 2.0.0"


class Comparators(msgspec.Struct, frozen=True):
    """Comparators joined by AND.

    Several of them allow a pre-release only if one names a pre-release of the same version; a
    single one has no such guard.
    """

    items: tuple[tuple[str, semver.Version], ...]

    def allows(self, version: semver.Version) -> bool:
        """Return whether the version satisfies every comparator, and the guard."""
        if not all(_holds(sign, version, bound) for sign, bound in self.items):
            return False
        if not version.is_prerelease or len(self.items) == 1:
            return True
        return any(bound.is_prerelease and bound.core == version.core for _, bound in self.items)


class Every(msgspec.Struct, frozen=True):
    """Parts that must all allow a version; at least one of them has alternatives."""

    parts: tuple[Range, ...]

    def allows(self, version: semver.Version) -> bool:
        """Return whether every part allows the version."""
        return all(part.allows(version) for part in self.parts)


class Either(msgspec.Struct, frozen=True):
    """Alternatives, of which one must allow a version."""

    parts: tuple[Range, ...]

    def allows(self, version: semver.Version) -> bool:
        """Return whether one of the alternatives allows the version."""
        return any(part.allows(version) for part in self.parts)


Range = Comparators | Every | Either


def parse(text: str) -> Range:
    """Return what the text allows; `*` and the empty text are `>=0.0.0`.

    Raises RequirementError for what is no range of contract 1.3.
    """
    if len(text) > MAX_LENGTH:
        raise _refusal(text, f"it is longer than {MAX_LENGTH} characters")
    return _Parser(text if text.strip() else "*").parse()


def _refusal(text: str, reason: str) -> errors.RequirementError:
    message = f"cannot read version range {semver.shorten(text)}: {reason}"
    return errors.RequirementError(message, text=text)


def _holds(sign: str, version: semver.Version, bound: semver.Version) -> bool:
    left, right = version.precedence, bound.precedence
    if left == right:
        return sign in {"=", ">=", "<="}
    return sign in {">", ">="} if left > right else sign in {"<", "<="}


class _Parser:
    """Recursive descent over the text; OR binds weakest."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: Iterator[re.Match[str]] = _TOKEN.finditer(text)
        self._depth = 0
        self._advance()

    def parse(self) -> Range:
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

    def _alternatives(self) -> Range:
        parts = [self._conjunction()]
        while self._kind == "or":
            self._advance()
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _conjunction(self) -> Range:
        """Read terms up to `||` or a bracket; all comparators among them are one group."""
        items: list[tuple[str, semver.Version]] = []
        others: list[Range] = []
        while self._kind in {"open", "operator", "version"}:
            if (items or others) and not self._spaced:
                raise self._refuse(f"there must be a space before {self._value!r}")
            part = self._bracket() if self._kind == "open" else self._term()
            if isinstance(part, Comparators):
                items.extend(part.items)
            else:
                others.append(part)
        if self._kind == "hyphen":
            raise self._refuse(_HYPHEN_HINT)
        if not items and not others:
            raise self._missing()
        if items:
            others.insert(0, Comparators(tuple(items)))
        return others[0] if len(others) == 1 else Every(tuple(others))

    def _missing(self) -> errors.RequirementError:
        place = f"before {self._value!r}" if self._kind else "at the end"
        return self._refuse(f"a version is missing {place}")

    def _bracket(self) -> Range:
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

    def _term(self) -> Comparators:
        sign = ""
        if self._kind == "operator":
            sign = self._value
            self._advance()
        low = self._partial()
        if sign in _COMPARISONS and self._kind != "hyphen" and _FULL.fullmatch(low):
            return Comparators(((sign or "=", semver.Version.parse(low)),))
        if sign or self._kind != "hyphen":
            return self._desugar(sign + low)
        if not self._spaced:
            raise self._refuse(_HYPHEN_HINT)
        self._advance()
        return self._desugar(f"{low} - {self._partial()}")

    def _partial(self) -> str:
        value = self._value
        if self._kind != "version":
            raise self._missing()
        if len(value) > semver.MAX_LENGTH or _PARTIAL.fullmatch(value) is None:
            raise self._refuse(f"{semver.shorten(value)} is not a version or part of one")
        numbers = re.split(r"[-+]", value, maxsplit=1)[0].split(".")
        if any(part.isdecimal() and int(part) > semver.MAX_PART for part in numbers):
            raise self._refuse(f"a part of a version may be {semver.MAX_PART} at most")
        self._advance()
        return value

    def _desugar(self, term: str) -> Comparators:
        """Return the comparators node-semver makes of one term."""
        # Imported late: most ranges on devices are plain comparators, and its expressions take
        # longer to compile than all of ours.
        import nodesemver

        try:
            (comparators,) = nodesemver.make_range(term, loose=False).set
        except ValueError:
            raise self._refuse(f"{term!r} has no meaning") from None
        return Comparators(tuple(_convert(c, nodesemver.ANY) for c in comparators))


def _convert(comparator: Any, anything: object) -> tuple[str, semver.Version]:
    bound = comparator.semver
    if bound is anything:
        return ">=", semver.Version.parse("0.0.0")
    pre = tuple(
        (False, part, "") if isinstance(part, int) else (True, 0, part) for part in bound.prerelease
    )
    precedence = (bound.major, bound.minor, bound.patch, not pre, pre)
    return comparator.operator or "=", semver.Version(precedence, (), str(bound))
