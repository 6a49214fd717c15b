"""Reading values out of a document that people write, with their places in what is said of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from verge.nucleus import errors

Value = TypeVar("Value")


class Section:
    """A mapping of the file with its place in it; key comparison ignores case (contract 1.1)."""

    def __init__(self, place: str, content: Any) -> None:
        if content is not None and not isinstance(content, Mapping):
            raise errors.SettingsError(f"{place}: should be a map")
        self.place = place
        self.content: Mapping[str, Any] = content or {}

    def raw(self, key: str) -> Any:
        """Return what stands at a key, None if it is not there."""
        wanted = key.lower()
        return next((v for k, v in self.content.items() if str(k).lower() == wanted), None)

    def section(self, key: str) -> Section:
        """Return the mapping at a key, an empty one if it is not there. Raises SettingsError."""
        return Section(f"{self.place}/{key}", self.raw(key))

    def get(self, key: str, convert: Callable[[Any], Value], default: Value) -> Value:
        """Return the converted value at a key, or the default. Raises SettingsError."""
        value = self.raw(key)
        if value is None or value == "":
            return default
        try:
            return convert(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise errors.SettingsError(f"{self.place}/{key}: {error}") from None


def parse_yaml(file: Path, text: str) -> Any:
    """Return the document of a YAML file. Raises SettingsError, naming file and line."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f":{place.line + 1}" if place else ""
        reason = getattr(error, "problem", None) or "not readable as YAML"
        raise errors.SettingsError(f"{file}{line}: {reason}; correct the file") from None
    except ValueError as error:  # a value that looks like a date or a number and is none
        raise errors.SettingsError(f"{file}: {error}; correct the file") from None


def names(value: Any) -> tuple[str, ...]:
    """Return names that commas separate."""
    return tuple(name for text in str(value).split(",") if (name := text.strip()))


def port_or_none(value: Any) -> int:
    """Return a port, or 0."""
    return port(value) if int(value) else 0


def positive_int(value: Any) -> int:
    """Return a whole number from 1 on."""
    number = int(value)
    if number < 1:
        raise ValueError("should be at least 1")
    return number


def port(value: Any) -> int:
    """Return a port."""
    number = int(value)
    if not 0 < number < 65536:
        raise ValueError("should be a port between 1 and 65535")
    return number


def positive(value: Any) -> float:
    """Return a number above 0."""
    number = float(value)
    if not 0 < number < 1e6:
        raise ValueError("should be a number above 0")
    return number


def flag(value: Any) -> bool:
    """Return what `true` or `false` means."""
    if (text := str(value).lower()) not in {"true", "false"}:
        raise ValueError("should be true or false")
    return text == "true"


def time_source(value: Any) -> bool:
    """Return whether it names the time at which a deployment is carried out."""
    names = {"deploymentcreationtime": False, "deploymentprocessingtime": True}
    try:
        return names[str(value).lower()]
    except KeyError:
        raise ValueError("should be deploymentCreationTime or deploymentProcessingTime") from None


def seconds(value: Any) -> float:
    """Return a number of seconds."""
    number = float(value)
    if not 0 <= number < 1e9:
        raise ValueError("should be a number of seconds")
    return number


_LEVELS = {
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
}


def level(value: Any) -> int:
    """Return a level of the log."""
    try:
        return _LEVELS[str(value).upper()]
    except KeyError:
        raise ValueError(f"should be one of {', '.join(_LEVELS)}") from None


def log_format(value: Any) -> str:
    """Return a format of the log."""
    if (text := str(value).upper()) not in {"TEXT", "JSON"}:
        raise ValueError("should be TEXT or JSON")
    return text
