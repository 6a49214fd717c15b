"""What an unquoted word stands for, in YAML and JSON alike."""

from __future__ import annotations

import math
import re
from typing import Any

from verge.recipe import errors

NUMBER = re.compile(
    r"(?P<int>[-+]?(?:0|[1-9][0-9]*))"
    r"|[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
)
NUMBER_STARTS = "+-.0123456789"
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MAX_INTEGER_LENGTH = 20  # sign and 19 digits, as many as 64 bits can have


def plain(text: str) -> Any:
    """Return what an unquoted YAML scalar stands for: None, a truth value, a number or text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[:1] in NUMBER_STARTS and NUMBER.fullmatch(text):
        return number(text)
    return text


def number(text: str) -> int | float:
    """Return the number, a RecipeError if 64 bits cannot hold it."""
    match = NUMBER.fullmatch(text)
    if match and match["int"]:
        if len(text) <= _MAX_INTEGER_LENGTH and -(2**63) <= (whole := int(text)) < 2**63:
            return whole
    elif match and math.isfinite(real := float(text)):
        return real
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    raise errors.RecipeError(f"cannot keep the number {shown}: out of range; quote it as text")
