"""The pictures, their boxes, and which of them are for training and which for validation."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

VALIDATION_SHARE = 0.2
"""Of the shots: enough for a figure, and little enough to leave most to learn from."""

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One picture and what is known to be in it."""

    path: Path
    shot: str
    """Crops of one photograph share it."""
    boxes: Floats
    """n by 4: x1, y1, x2, y2 in pixels of the picture."""


@dataclass(frozen=True)
class Split:
    """Names of the shots to learn from and of those to judge by."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


def read_pictures(folder: Path) -> list[Picture]:
    """Read `annotations.json` (COCO, one class) beside the folder `images`, in its order.

    Raises TrainingError if it cannot be read, names a picture outside the folder or an empty box.
    """
    path = folder / "annotations.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        boxes: dict[int, list[list[float]]] = {entry["id"]: [] for entry in document["images"]}
        for annotation in document["annotations"]:
            boxes[annotation["image_id"]].append(_corners(annotation["bbox"]))
        return [_make_picture(folder, entry, boxes[entry["id"]]) for entry in document["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"cannot read {path}: {type(error).__name__}: {error}") from error


def read_pixels(picture: Picture) -> Pixels:
    """Return the pixels, height by width by RGB. Raises TrainingError."""
    pixels = cv2.imread(str(picture.path), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise TrainingError(f"cannot read the picture {picture.path}")
    return np.asarray(pixels, dtype=np.uint8)


def split_shots(shots: Iterable[str], share: float, seed: int) -> Split:
    """Set `share` of the shots aside for validation; the same for a seed, whatever their order.

    Raises TrainingError if there are less than two.
    """
    ranked = _rank(shots, seed, 2)
    count = max(1, round(len(ranked) * share))
    return Split(tuple(sorted(ranked[count:])), tuple(sorted(ranked[:count])))


def make_folds(shots: Iterable[str], count: int, seed: int) -> list[Split]:
    """Return `count` splits in which every shot is validated once.

    Raises TrainingError if there are less shots than folds.
    """
    ranked = _rank(shots, seed, count)
    return [
        Split(
            tuple(sorted(shot for n, shot in enumerate(ranked) if n % count != fold)),
            tuple(sorted(ranked[fold::count])),
        )
        for fold in range(count)
    ]


def select(pictures: Sequence[Picture], shots: Iterable[str]) -> list[Picture]:
    """Return the pictures of these shots."""
    wanted = set(shots)
    return [picture for picture in pictures if picture.shot in wanted]


def _rank(shots: Iterable[str], seed: int, least: int) -> list[str]:
    """Order by a hash, so that the split hangs neither on a generator nor on its version."""
    found = set(shots)
    if len(found) < least:
        raise TrainingError(
            f"cannot split {len(found)} shots into {least} parts; add pictures, or name less folds"
        )
    return sorted(found, key=lambda shot: hashlib.sha256(f"{seed}:{shot}".encode()).digest())


def _make_picture(folder: Path, entry: dict[str, Any], boxes: list[list[float]]) -> Picture:
    name = entry["file_name"]
    if "/" in name or name in {"", ".", ".."}:
        raise ValueError(f"the picture {name!r} must lie in images/")
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return Picture(folder / "images" / name, str(entry["shot"]), array)


def _corners(box: Sequence[float]) -> list[float]:
    x, y, width, height = map(float, box)
    if width <= 0 or height <= 0:
        raise ValueError(f"the box {list(box)} is empty")
    return [x, y, x + width, y + height]
