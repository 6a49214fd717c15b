"""JSON pointers (RFC 6901)."""

from __future__ import annotations

import re
from typing import Any

from verge.recipe import errors

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_BAD_ESCAPE = re.compile(r"~(?![01])")


class PointerError(errors.RecipeError, LookupError):
    """A JSON pointer that cannot be read, or that leads nowhere."""


def parse(pointer: str) -> tuple[str, ...]:
    """Return the reference tokens of the pointer; the empty pointer has none."""
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise PointerError(f"cannot read JSON pointer {pointer!r}: must be empty or begin with /")
    if _BAD_ESCAPE.search(pointer):
        raise PointerError(f"cannot read JSON pointer {pointer!r}: ~ is written ~0 and / is ~1")
    return tuple(t.replace("~1", "/").replace("~0", "~") for t in pointer[1:].split("/"))


def resolve(document: Any, pointer: str) -> Any:
    """Return the value the pointer leads to in a document of dicts and lists.

    Raises PointerError where there is none.
    """
    value = document
    for token in parse(pointer):
        if isinstance(value, dict) and token in value:
            value = value[token]
        elif (
            isinstance(value, list | tuple) and _INDEX.fullmatch(token) and int(token) < len(value)
        ):
            value = value[int(token)]
        else:
            raise PointerError(f"cannot find {pointer!r}: there is no {token!r}")
    return value
