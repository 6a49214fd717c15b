"""Output families: how boxes and scores are read from what a network returns.

To add one, write a function that takes the outputs by name, the number of classes and the input
size, and name it in `FAMILIES`. A card names its family; shapes alone cannot tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from object_detection.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Outputs = Mapping[str, NDArray[np.float32]]


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
class Family:
    """One way of writing detections."""

    shape: str
    """The shape of its output, for people."""
    fits: Callable[[Outputs, int], bool]
    """Whether outputs, for a number of classes, have that shape."""
    read: Callable[[Outputs, float], Candidates]
    """Read the candidates with at least the given score."""
    suppress: bool
    """Whether overlapping boxes are still in the output."""


def choose_family(name: str | None, outputs: Outputs, classes: int) -> Family:
    """Return the family the card names, if the outputs of the model have its shape.

    Raises ModelError with the choices if there is no name, or an unknown one.
    """
    found = ", ".join(f"{key} {list(value.shape)}" for key, value in outputs.items())
    if name is None:
        fitting = [key for key, family in FAMILIES.items() if family.fits(outputs, classes)]
        choices = ", ".join(fitting or FAMILIES)
        raise ModelError(
            f"the card names no output family and the shape cannot tell ({found}); "
            f"set output/family to one of: {choices}"
        )
    family = FAMILIES.get(name)
    if family is None:
        choices = ", ".join(FAMILIES)
        raise ModelError(f"the output family {name!r} is unknown; the choices are: {choices}")
    if not family.fits(outputs, classes):
        raise ModelError(
            f"the output family {name} wants {family.shape} with nc = {classes} labels, "
            f"the model returns {found}; correct output/family or the labels of the card"
        )
    return family


def _only(outputs: Outputs) -> NDArray[np.float32]:
    return next(iter(outputs.values()))


def _fits_ultralytics_v8(outputs: Outputs, classes: int) -> bool:
    shape = _only(outputs).shape
    return len(outputs) == 1 and len(shape) == 3 and shape[:2] == (1, 4 + classes)


def _read_ultralytics_v8(outputs: Outputs, least: float) -> Candidates:
    """Read centre x, centre y, width, height and one score per class, without objectness."""
    output = _only(outputs)[0]
    best = output[4:].max(axis=0)
    # A score that is not a number fails the comparison and drops out.
    chosen = np.flatnonzero(best >= least)
    columns = output[:, chosen]
    half = columns[2:4] / 2
    boxes = np.concatenate([columns[0:2] - half, columns[0:2] + half]).T
    return Candidates(boxes, best[chosen], columns[4:].argmax(axis=0))


def _fits_end_to_end(outputs: Outputs, classes: int) -> bool:
    shape = _only(outputs).shape
    return len(outputs) == 1 and len(shape) == 3 and shape[0] == 1 and shape[2] == 6


def _read_end_to_end(outputs: Outputs, least: float) -> Candidates:
    """Read x1, y1, x2, y2, score and class, padded with zeros, already suppressed."""
    output = _only(outputs)[0]
    rows = output[(output[:, 4] >= least) & (output[:, 4] > 0)]
    return Candidates(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))


FAMILIES: dict[str, Family] = {
    "ultralytics_v8": Family(
        "one output [1, 4 + nc, n]", _fits_ultralytics_v8, _read_ultralytics_v8, suppress=True
    ),
    "ultralytics_end_to_end": Family(
        "one output [1, n, 6]", _fits_end_to_end, _read_end_to_end, suppress=False
    ),
}
