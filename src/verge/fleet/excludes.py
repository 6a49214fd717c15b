"""Which files of a component stay out of its archive: GDK's exclude patterns.

A pattern is what Python's `glob` takes with `recursive=True`, relative to the component's folder
(Greengrass contract 6.3): without `**/` it matches at the root only, wildcards pass over names that
begin with a dot, and a folder that matches is left out with all it holds. Patterns are matched
against paths, so that a component is walked once however many it has.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Segment = Callable[[str], object]

_MAGIC = re.compile(r"[*?\[]")


class Excludes:
    """A set of patterns."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [pattern.split("/") for pattern in patterns]

    def match(self, path: str, *, is_folder: bool) -> bool:
        """Return whether a pattern matches `path`, which is relative and separated by `/`."""
        parts = path.split("/")
        return any(_match(pattern, parts, is_folder) for pattern in self._patterns)


def _match(pattern: list[str], parts: list[str], is_folder: bool) -> bool:
    if not pattern:
        return not parts
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        if not rest:
            return not any(map(_hidden, parts)) if parts else is_folder
        return _match(rest, parts, is_folder) or (
            bool(parts) and not _hidden(parts[0]) and _match(pattern, parts[1:], is_folder)
        )
    if not parts:
        # A closing slash asks for a folder; an empty segment elsewhere matches nothing.
        return head == "" and not rest and is_folder
    return bool(_segment(head)(parts[0])) and _match(rest, parts[1:], is_folder)


def _hidden(name: str) -> bool:
    return name.startswith(".")


@functools.cache
def _segment(text: str) -> Segment:
    if not _MAGIC.search(text):
        return text.__eq__
    match = re.compile(fnmatch.translate(text)).match
    if _hidden(text):
        return match
    return lambda name: not _hidden(name) and match(name)
