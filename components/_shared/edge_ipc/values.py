"""Read configuration values whatever type the nucleus kept them as.

A YAML scalar reaches a component as a number on one nucleus and as text on another
(Greengrass contract 1.1), so every reader here takes both.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})


class SettingError(ValueError):
    """A configuration value cannot be used; the text names the setting."""

    def __init__(self, name: str, value: object, wanted: str) -> None:
        super().__init__(f"cannot use the setting {name}: {value!r} is not {wanted}")
        self.name = name


def read_text(settings: Mapping[str, Any], name: str, default: str) -> str:
    """Return a text setting, or the default if it is absent."""
    value = settings.get(name, default)
    if not isinstance(value, str | int | float):
        raise SettingError(name, value, "a text")
    return str(value)


def read_boolean(settings: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Return a yes-or-no setting; text such as "true" and "off" counts."""
    value = settings.get(name, default)
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise SettingError(name, value, "true or false")


def read_number(
    settings: Mapping[str, Any], name: str, default: float, *, low: float, high: float
) -> float:
    """Return a number between `low` and `high`, both included."""
    value = settings.get(name, default)
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise SettingError(name, value, f"a number from {low:g} to {high:g}")
    return number


def read_integer(
    settings: Mapping[str, Any], name: str, default: int, *, low: int, high: int
) -> int:
    """Return a whole number between `low` and `high`, both included."""
    number = read_number(settings, name, default, low=low, high=high)
    if number != int(number):
        raise SettingError(name, settings.get(name), "a whole number")
    return int(number)


def read_texts(settings: Mapping[str, Any], name: str, default: list[str]) -> tuple[str, ...]:
    """Return a list of texts; a single text stands for a list of one."""
    value = settings.get(name, default)
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise SettingError(name, value, "a list of texts") from None
    if isinstance(value, str):
        value = [value] if value else []
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise SettingError(name, value, "a list of texts")
    return tuple(value)
