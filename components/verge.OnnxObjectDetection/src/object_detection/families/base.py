"""What all families share: candidates, the facts of a network, and the arithmetic of boxes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Candidates:
    """What a network proposes, before thresholds and suppression."""

    boxes: NDArray[np.float32]
    """n by 4: x1, y1, x2, y2 in pixels of the model's input."""
    scores: NDArray[np.float32]
    """n, from 0 to 1."""
    classes: NDArray[np.int64]
    """n class numbers."""


@dataclass(frozen=True)
class Network:
    """What a family must know of a network."""

    classes: int
    """How many labels the card lists: nc."""
    width: int
    """Of the input, in pixels."""
    height: int


@dataclass(frozen=True)
class Family:
    """One way of writing detections."""

    shape: str
    """The shape of its output, for people."""
    fits: Callable[[Outputs, Network], bool]
    """Whether outputs have that shape."""
    read: Callable[[Outputs, Network, float], Candidates]
    """Read the candidates with at least the given score."""
    suppress: bool
    """Whether overlapping boxes are still in the output."""


def only(outputs: Outputs) -> Floats:
    """Return the one output."""
    return next(iter(outputs.values()))


def has_one(outputs: Outputs, *shape: int | None) -> bool:
    """Return whether there is one output of that shape; None stands for any length."""
    return len(outputs) == 1 and is_shaped(only(outputs), *shape)


def is_shaped(output: NDArray[Any] | None, *shape: int | None) -> bool:
    """Return whether an output is there and has that shape; None stands for any length."""
    return (
        output is not None
        and output.ndim == len(shape)
        and all(want in {None, have} for want, have in zip(shape, output.shape, strict=True))
    )


def find(outputs: Outputs, *names: str) -> NDArray[Any] | None:
    """Return the output that bears one of the names; what follows a colon does not count."""
    plain = {key.partition(":")[0]: value for key, value in outputs.items()}
    return next((plain[name] for name in names if name in plain), None)


def get(outputs: Outputs, *names: str) -> NDArray[Any]:
    """Return the output that bears one of the names. It is there: the family fits."""
    output = find(outputs, *names)
    if output is None:
        raise KeyError(names)
    return output


def corners(centres: Floats) -> Floats:
    """Turn n by 4 boxes from centre x, centre y, width, height into x1, y1, x2, y2."""
    half = centres[:, 2:4] / 2
    return np.concatenate([centres[:, :2] - half, centres[:, :2] + half], axis=1)


def in_pixels(boxes: Floats, network: Network) -> Floats:
    """Scale n by 4 boxes of x and y from 0 to 1 to pixels of the input."""
    size = np.array([network.width, network.height] * 2, dtype=np.float32)
    return np.asarray(boxes * size, dtype=np.float32)


def pick(boxes: Floats, scores: Floats, classes: NDArray[Any], least: float) -> Candidates:
    """Return the candidates with at least the score; one that is not a number drops out."""
    chosen = np.flatnonzero(scores >= least)
    return Candidates(boxes[chosen], scores[chosen], whole_numbers(classes[chosen]))


def pick_best(boxes: Floats, scores: Floats, least: float) -> Candidates:
    """Return for n by nc scores the best class of each box, if it has at least the score."""
    return pick(boxes, scores.max(axis=1), scores.argmax(axis=1), least)


def read_objectness(rows: Floats, least: float) -> Candidates:
    """Read rows of centre x, centre y, width, height, objectness and one score per class."""
    # No product is higher than its objectness.
    rows = rows[rows[:, 4] >= least]
    return pick_best(corners(rows), rows[:, 4:5] * rows[:, 5:], least)


def whole_numbers(classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return class numbers, -1 (which no label has) for what is not a number."""
    if classes.dtype.kind != "f":
        return classes.astype(np.int64)
    usable = np.isfinite(classes) & (np.abs(classes) < 2**31)
    return np.where(usable, classes, -1).astype(np.int64)


def sigmoid(logits: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), dtype=np.float32)


def softmax(logits: Floats) -> Floats:
    """Return the softmax along the last axis without overflow."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)


def count_cells(network: Network, strides: Iterable[int]) -> int:
    """Return how many cells grids of these strides have together."""
    return sum(-(-network.width // step) * -(-network.height // step) for step in strides)


@functools.lru_cache(maxsize=4)
def make_grid(network: Network, strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return column and row (n by 2) and stride (n by 1) of every cell, row by row.

    It is the same for every picture, so it is made once; callers do not write to it.
    """
    cells, steps = [], []
    for step in strides:
        columns, rows = -(-network.width // step), -(-network.height // step)
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        steps.append(np.full((columns * rows, 1), step))
    grid = np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)
    for part in grid:
        part.setflags(write=False)
    return grid
