"""Checks requests against the service model: required members, lengths, ranges, patterns, words.

It knows shapes, not operations: all rules come from the model that clients are generated from.
botocore itself checks only some of them before it sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from botocore import model as boto

from verge.cloud.greengrass import faults

MAX_SHOWN = 100
"""Characters of a refused value that a message repeats."""


class Violation(msgspec.Struct, frozen=True):
    """A member that breaks a rule: where, which value and what it must be."""

    path: str
    value: Any
    rule: str

    def __str__(self) -> str:
        shown = "null" if self.value is None else str(self.value)
        if len(shown) > MAX_SHOWN:
            shown = f"{shown[:MAX_SHOWN]}…"
        return f"Value '{shown}' at '{self.path}' failed to satisfy constraint: {self.rule}"


def check(shape: boto.StructureShape, value: Mapping[str, Any]) -> None:
    """Refuse a request that its shape does not allow, with every violation named."""
    found = list(_structure(shape, value, ""))
    if not found:
        return
    noun = "error" if len(found) == 1 else "errors"
    raise faults.ValidationFault(
        f"{len(found)} validation {noun} detected: {'; '.join(map(str, found))}",
        fields=[(violation.path, violation.rule) for violation in found],
    )


def violations(shape: boto.Shape, value: Any, path: str = "") -> Iterator[Violation]:
    """Yield where a value is not what the shape allows."""
    word = _mismatch(shape, value)
    if word is not None:
        yield Violation(path, value, f"Member must be {word}")
    elif isinstance(shape, boto.StructureShape):
        yield from _structure(shape, value, path)
    elif isinstance(shape, boto.ListShape):
        yield from _sizes(shape, len(value), value, path, "length")
        for index, item in enumerate(value):
            yield from violations(shape.member, item, f"{path}.{index + 1}.member")
    elif isinstance(shape, boto.MapShape):
        yield from _sizes(shape, len(value), value, path, "length")
        for key, item in value.items():
            yield from violations(shape.key, key, f"{path}.key")
            yield from violations(shape.value, item, f"{path}.{key}.member")
    else:
        yield from _scalar(shape, value, path)


def _mismatch(shape: boto.Shape, value: Any) -> str | None:
    """Return what the value must be where it is something else."""
    kinds, word = _TYPES[shape.type_name]
    is_truth = isinstance(value, bool) and shape.type_name != "boolean"
    return word if is_truth or not isinstance(value, kinds) else None


def _structure(
    shape: boto.StructureShape, value: Mapping[str, Any], path: str
) -> Iterator[Violation]:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if value.get(name) is None:
            yield Violation(prefix + name, None, "Member must not be null")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from violations(member, value[name], prefix + name)


def _scalar(shape: boto.Shape, value: Any, path: str) -> Iterator[Violation]:
    if isinstance(value, str):
        yield from _text(shape, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _sizes(shape, value, value, path, "value")


def _text(shape: boto.Shape, value: str, path: str) -> Iterator[Violation]:
    yield from _sizes(shape, len(value), value, path, "length")
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield Violation(path, value, f"Member must satisfy regular expression pattern: {pattern}")
    words = shape.metadata.get("enum")
    if words and value not in words:
        yield Violation(path, value, f"Member must satisfy enum value set: [{', '.join(words)}]")


def _sizes(shape: boto.Shape, size: float, value: Any, path: str, noun: str) -> Iterator[Violation]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield Violation(path, value, f"Member must have {noun} greater than or equal to {least}")
    if most is not None and size > most:
        yield Violation(path, value, f"Member must have {noun} less than or equal to {most}")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "structure": ((Mapping,), "an object"),
    "map": ((Mapping,), "an object"),
    "list": ((list, tuple), "a list"),
    "string": ((str,), "a string"),
    "blob": ((bytes,), "base64 text"),
    "boolean": ((bool,), "true or false"),
    "integer": ((int,), "a whole number"),
    "long": ((int,), "a whole number"),
    "double": ((int, float), "a number"),
    "float": ((int, float), "a number"),
    "timestamp": ((datetime,), "a timestamp"),
}
