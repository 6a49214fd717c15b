"""How good detections are: average precision, precision and recall at one IoU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.data import Floats

OVERLAP = 0.5
"""From this IoU on a detection counts as a hit: the 50 of AP50."""


@dataclass(frozen=True)
class Curve:
    """Precision and recall at falling scores, over all pictures together."""

    scores: Floats
    precision: Floats
    recall: Floats

    @property
    def average_precision(self) -> float:
        """The area under the curve, precision made monotone (all points, as VOC 2010 and later)."""
        ceiling = np.maximum.accumulate(self.precision[::-1])[::-1]
        steps = np.diff(self.recall, prepend=0)
        return float((ceiling * steps).sum())

    def at(self, score: float) -> tuple[float, float]:
        """Return precision and recall of the detections with at least that score."""
        count = int((self.scores >= score).sum())
        if not count:
            return 1.0, 0.0
        return float(self.precision[count - 1]), float(self.recall[count - 1])

    def best_score(self, weight: float) -> float:
        """Return the score with the highest F measure in which recall counts `weight` times.

        Without any detection it is 1.
        """
        if not len(self.scores):
            return 1.0
        square = weight**2
        bottom = square * self.precision + self.recall
        values = (1 + square) * self.precision * self.recall / np.maximum(bottom, 1e-9)
        return float(self.scores[int(values.argmax())])


def measure(found: Sequence[tuple[Floats, Floats]], truth: Sequence[Floats]) -> Curve:
    """Compare the boxes (n by 4 corners) and scores (n) found in each picture with the true boxes.

    Every true box is hit once at most, by the best-scored detection that overlaps it most.
    """
    hits = [_match(boxes, scores, real) for (boxes, scores), real in zip(found, truth, strict=True)]
    scores = np.concatenate([scores for _, scores in found]).astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate(hits)[order].cumsum()
    count = sum(len(real) for real in truth)
    return Curve(
        scores[order],
        (right / np.arange(1, len(right) + 1)).astype(np.float32),
        (right / max(count, 1)).astype(np.float32),
    )


def _match(boxes: Floats, scores: Floats, truth: Floats) -> np.ndarray:
    hits = np.zeros(len(boxes), dtype=bool)
    free = np.ones(len(truth), dtype=bool)
    overlaps = iou(boxes, truth)
    for number in np.argsort(-scores, kind="stable") if len(truth) else ():
        candidates = np.where(free, overlaps[number], -1)
        best = int(candidates.argmax())
        if candidates[best] >= OVERLAP:
            hits[number], free[best] = True, False
    return hits


def iou(boxes: Floats, others: Floats) -> Floats:
    """Return n by m overlaps of n and m corners."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(item[:, 2:] - item[:, :2]).prod(axis=1) for item in (boxes, others)]
    return np.asarray(shared / (areas[0][:, None] + areas[1] - shared + 1e-9), dtype=np.float32)
