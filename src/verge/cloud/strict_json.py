"""JSON as devices can read it, too: Python's own reader takes more."""

from __future__ import annotations

import json
import math
from typing import Any


def parse(text: str | bytes) -> Any:
    """Return the value of a text. Raises ValueError, also where it could not be written again."""
    given = text if isinstance(text, str) else text.decode()
    try:
        value = _DECODER.decode(given)
        if "\\ud" in given.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits:.40} is too large a number")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
