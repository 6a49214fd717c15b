"""From candidates to detections in pixels of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
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
        kept = suppress_overlaps(boxes, scores, numbers, thresholds.iou)
    else:
        kept = np.arange(len(order))
    kept = kept[: thresholds.max_detections]
    return [
        Detection(
            label=labels[class_id],
            class_id=class_id,
            score=round(score, 4),
            box=(round(x1, 1), round(y1, 1), round(x2, 1), round(y2, 1)),
        )
        for (x1, y1, x2, y2), score, class_id in zip(
            mapped[kept].tolist(), scores[kept].tolist(), numbers[kept].tolist(), strict=True
        )
    ]


def suppress_overlaps(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    iou: float,
) -> NDArray[np.int64]:
    """Return the indices to keep of boxes (n by 4: x1, y1, x2, y2), best score first.

    A box goes if it overlaps a better one of its own class by more than `iou`; boxes of
    different classes never suppress one another.
    """
    if len(boxes) < 2:
        return np.arange(len(boxes))
    # OpenCV keeps classes apart by moving them beside one another, from the origin on.
    corners = boxes.astype(np.float64) - boxes.min()
    corners[:, 2:] -= corners[:, :2]
    kept = cv2.dnn.NMSBoxesBatched(corners, scores.tolist(), classes.tolist(), 0.0, iou)
    return np.asarray(kept, dtype=np.int64)
