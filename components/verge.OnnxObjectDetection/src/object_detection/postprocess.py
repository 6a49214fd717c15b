"""From candidates to detections in pixels of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from object_detection.card import Thresholds
    from object_detection.families.base import Candidates
    from object_detection.preprocess import Geometry

_MOST_CANDIDATES = 3000
"""Suppression compares every pair, so a hostile model must not offer it a million."""
_FARTHEST = 1e6
"""Pixels from the corner of the input; what lies beyond, or is no number, is no box."""


@dataclass(frozen=True)
class Detection:
    """One object that was found."""

    label: str
    class_id: int
    score: float
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the picture, to a tenth."""


def select_detections(
    candidates: Candidates,
    geometry: Geometry,
    thresholds: Thresholds,
    labels: Sequence[str],
    *,
    suppress: bool,
    classes: Collection[str] = (),
) -> list[Detection]:
    """Return the best detections first, overlaps within one class suppressed if asked.

    `classes` are the labels that count; none: all.
    """
    known = (candidates.classes >= 0) & (candidates.classes < len(labels))
    if classes:
        wanted = [number for number, label in enumerate(labels) if label in classes]
        known &= np.isin(candidates.classes, wanted)
    usable = (np.abs(candidates.boxes) < _FARTHEST).all(axis=1)
    indices = np.flatnonzero((candidates.scores >= thresholds.score) & known & usable)
    order = indices[np.argsort(-candidates.scores[indices], kind="stable")][:_MOST_CANDIDATES]
    mapped = geometry.to_picture(candidates.boxes[order])
    # What lies in the padding beside the picture is no object in it.
    inside = (mapped[:, 2:] > mapped[:, :2]).all(axis=1)
    order, mapped = order[inside], mapped[inside]
    boxes, scores = candidates.boxes[order], candidates.scores[order]
    numbers = candidates.classes[order]
    if suppress:
        kept = suppress_overlaps(boxes, numbers, thresholds.iou, thresholds.max_detections)
    else:
        kept = np.arange(len(order))[: thresholds.max_detections]
    return [
        Detection(
            label=labels[class_id],
            class_id=int(class_id),
            score=round(float(score), 4),
            box=_corners(box),
        )
        for box, score, class_id in zip(mapped[kept], scores[kept], numbers[kept], strict=True)
    ]


def suppress_overlaps(
    boxes: NDArray[np.float32], classes: NDArray[np.int64], iou: float, most: int
) -> NDArray[np.int64]:
    """Return the indices to keep of boxes sorted by falling score.

    A box goes if it overlaps a better one of its own class by more than `iou`; boxes of
    different classes never suppress one another.
    """
    kept: list[int] = []
    left = np.arange(len(boxes))
    areas = _areas(boxes)
    while left.size and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(int(best))
        corner1 = np.maximum(boxes[best, :2], boxes[left, :2])
        corner2 = np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.clip(corner2 - corner1, 0, None).prod(axis=1)
        union = areas[best] + areas[left] - shared
        overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        left = left[(overlap <= iou) | (classes[left] != classes[best])]
    return np.array(kept, dtype=np.int64)


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    areas: NDArray[np.float32] = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    return areas


def _corners(box: NDArray[np.float32]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (round(float(value), 1) for value in box)
    return x1, y1, x2, y2
