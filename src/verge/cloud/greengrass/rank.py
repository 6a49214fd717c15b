"""Versions as bytes that sort as versions do, so that the database can order them."""

from __future__ import annotations

from verge.recipe import versions

_NEXT = b"\x01"  # sorts before every character of an identifier
_END = b"\x00"  # and this before it: 1.0.0-a comes before 1.0.0-a.b
_PRE_RELEASE, _RELEASE = b"0", b"1"


def of(version: versions.Version) -> bytes:
    """Return bytes whose order is that of versions: semver 2.0, then build metadata."""
    core = b"".join(b"%06d" % part for part in version.core)
    kind = _PRE_RELEASE if version.is_prerelease else _RELEASE
    return b"".join(
        (core, kind, _identifiers(version.precedence[4]), _END, _identifiers(version.build))
    )


def _identifiers(identifiers: tuple[tuple[bool, int, str], ...]) -> bytes:
    return _NEXT.join(map(_identifier, identifiers))


def _identifier(identifier: tuple[bool, int, str]) -> bytes:
    """Numbers sort before words, by how many digits they have and then by these."""
    is_word, number, word = identifier
    return b"w" + word.encode() if is_word else b"n%02d%d" % (len(str(number)), number)
