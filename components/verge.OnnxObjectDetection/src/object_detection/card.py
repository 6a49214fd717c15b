"""The card of a model: what the detector must know to use it."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import yaml

from object_detection.errors import CardError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FORMAT = "verge.card/1"
LAYOUTS = ("NCHW", "NHWC", "CHW")
TYPES = ("float32", "float16", "uint8")
COLOURS = ("RGB", "BGR")
RESIZES = ("letterbox", "letterbox_top_left", "stretch")

_SIZE = ("width", "height")
_UNCHANGED = (1, 0, 0, 0, 1, 1, 1)
"""Divide, mean and std of a network that takes the values of the picture."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Input:
    """How a picture becomes the input tensor."""

    name: str
    layout: str
    colour: str
    width: int
    height: int
    divide: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: str
    pad: int
    type: str | None = None
    """None: fractions, as precise as the model wants them."""


@dataclass(frozen=True)
class Thresholds:
    """Which detections count."""

    score: float
    iou: float
    max_detections: int


@dataclass(frozen=True)
class Golden:
    """One picture in which the model must find something."""

    picture: str
    sha256: str
    label: str
    score: float


@dataclass(frozen=True)
class Card:
    """A whole card."""

    name: str
    version: str
    model: Path
    sha256: str
    input: Input
    family: str | None
    """Name of the output family; None if the card leaves it to the metadata of the model."""
    thresholds: Thresholds
    labels: tuple[str, ...]
    """By class number; empty if the card leaves them to the metadata of the model."""
    golden: tuple[Golden, ...]


def read_card(path: Path) -> Card:
    """Read a card; the model lies beside it. Raises CardError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).replace("\n", " ")
        raise CardError(f"cannot read the card {path}: {reason}") from error
    root = _Place(path.name, document)
    root.choice("format", (FORMAT,))
    file = root.text("file")
    if file in {"", ".", ".."} or "/" in file:
        raise root.error("file", "must be the name of a file beside the card")
    return Card(
        name=root.text("name"),
        version=root.text("version"),
        model=path.parent / file,
        sha256=root.sha256("sha256"),
        input=_read_input(root.child("input")),
        family=_read_output(root.child("output")) if root.has("output") else None,
        thresholds=_read_thresholds(root.child("thresholds")),
        labels=root.texts("labels") if root.has("labels") else (),
        golden=tuple(_read_golden(place) for place in root.children("golden")),
    )


def _read_output(place: _Place) -> str | None:
    place.only("family")
    return place.text("family") if place.has("family") else None


def _read_input(place: _Place) -> Input:
    place.only(*(field.name for field in fields(Input) if field.name not in _SIZE), "size")
    width, height = place.numbers("size", 2, low=1, high=65_536)
    if not (width.is_integer() and height.is_integer()):
        raise place.error("size", "must be whole pixels")
    std = place.numbers("std", 3, low=1e-9, high=1e9)
    found = Input(
        name=place.text("name"),
        layout=place.choice("layout", LAYOUTS),
        colour=place.choice("colour", COLOURS),
        width=int(width),
        height=int(height),
        divide=place.number("divide", low=1e-9, high=1e9),
        mean=_triple(place.numbers("mean", 3, low=-1e9, high=1e9)),
        std=_triple(std),
        resize=place.choice("resize", RESIZES),
        pad=int(place.number("pad", low=0, high=255)),
        type=place.choice("type", TYPES) if place.has("type") else None,
    )
    if found.type == "uint8" and (found.divide, *found.mean, *found.std) != _UNCHANGED:
        raise place.error("type", "uint8 wants divide 1, mean [0, 0, 0] and std [1, 1, 1]")
    return found


def _read_thresholds(place: _Place) -> Thresholds:
    place.only(*(field.name for field in fields(Thresholds)))
    return Thresholds(
        score=place.number("score", low=0, high=1),
        iou=place.number("iou", low=0, high=1),
        max_detections=_read_limit(place),
    )


def _read_limit(place: _Place) -> int:
    limit = place.number("max_detections", low=1, high=10_000)
    if not limit.is_integer():
        raise place.error("max_detections", "must be a whole number")
    return int(limit)


def _read_golden(place: _Place) -> Golden:
    place.only(*(field.name for field in fields(Golden)))
    return Golden(
        picture=place.text("picture"),
        sha256=place.sha256("sha256"),
        label=place.text("label"),
        score=place.number("score", low=0, high=1),
    )


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third


class _Place:
    """One map of the card with its path, so that a mistake is named by its place."""

    def __init__(self, path: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise CardError(f"{path}: must be a map")
        self._path = path
        self._value: Mapping[str, Any] = value

    def error(self, key: str, wanted: str) -> CardError:
        """Return the error for one key."""
        separator = "/" if ":" in self._path else ": "
        return CardError(f"{self._path}{separator}{key}: {wanted}")

    def child(self, key: str) -> _Place:
        """Return the map under a key."""
        return self._place(key, self._value.get(key))

    def children(self, key: str) -> list[_Place]:
        """Return the maps of a list, none if the key is absent."""
        values = self._value.get(key, [])
        if not isinstance(values, list):
            raise self.error(key, "must be a list")
        return [self._place(f"{key}/{number}", value) for number, value in enumerate(values)]

    def text(self, key: str) -> str:
        """Return a text that is not empty."""
        value = self._value.get(key)
        if not isinstance(value, str) or not value:
            raise self.error(key, "must be a text")
        return value

    def has(self, key: str) -> bool:
        """Return whether a key is there."""
        return key in self._value

    def only(self, *keys: str) -> None:
        """Refuse other keys, which are most often a slip of the pen."""
        for key in self._value:
            if key not in keys:
                raise self.error(str(key), f"is unknown; the keys here are {', '.join(keys)}")

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts with at least one of them."""
        values = self._value.get(key)
        if not isinstance(values, list) or not values:
            raise self.error(key, "must be a list of texts")
        if not all(isinstance(value, str) for value in values):
            raise self.error(key, "must be a list of texts")
        return tuple(values)

    def sha256(self, key: str) -> str:
        """Return a SHA-256 in hexadecimal digits."""
        value = self.text(key)
        if not _SHA256.fullmatch(value):
            raise self.error(key, "must be a SHA-256 of 64 lower-case hexadecimal digits")
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """Return one of the given words."""
        value = self._value.get(key)
        if value not in choices:
            raise self.error(key, f"must be {' or '.join(choices)}, not {value!r}")
        return str(value)

    def number(self, key: str, *, low: float, high: float) -> float:
        """Return a number between `low` and `high`, both included."""
        value = self._value.get(key)
        if not _is_number(value, low, high):
            raise self.error(key, f"must be a number from {low:g} to {high:g}")
        return float(value)  # type: ignore[arg-type]

    def numbers(self, key: str, count: int, *, low: float, high: float) -> list[float]:
        """Return a list of exactly `count` numbers."""
        values = self._value.get(key)
        if (
            not isinstance(values, list)
            or len(values) != count
            or not all(_is_number(value, low, high) for value in values)
        ):
            raise self.error(key, f"must be a list of {count} numbers from {low:g} to {high:g}")
        return [float(value) for value in values]

    def _place(self, key: str, value: Any) -> _Place:
        separator = "/" if ":" in self._path else ": "
        return _Place(f"{self._path}{separator}{key}", value)


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
