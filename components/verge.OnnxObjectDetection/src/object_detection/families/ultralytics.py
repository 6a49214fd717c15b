"""What Ultralytics exports, from the original YOLOv5 to the end-to-end networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from object_detection.families import base

if TYPE_CHECKING:
    from object_detection.families.base import Candidates, Network, Outputs


def _fits_v8(outputs: Outputs, network: Network) -> bool:
    return base.has_one(outputs, 1, 4 + network.classes, None)


def _read_v8(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read centre x, centre y, width, height and one score per class, without objectness."""
    output = base.only(outputs)[0]
    best = output[4:].max(axis=0)
    # Most columns go here, before any of them is copied.
    chosen = np.flatnonzero(best >= least)
    columns = output[:, chosen].T
    classes = columns[:, 4:].argmax(axis=1)
    return base.Candidates(base.corners(columns), best[chosen], classes)


def _fits_v5(outputs: Outputs, network: Network) -> bool:
    return base.has_one(outputs, 1, None, 5 + network.classes)


def _read_v5(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read centre x, centre y, width, height, objectness and one score per class."""
    return base.read_objectness(base.only(outputs)[0], least)


def _fits_rows_of_six(outputs: Outputs, network: Network) -> bool:
    return base.has_one(outputs, 1, None, 6)


def _read_end_to_end(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read x1, y1, x2, y2, score and class, padded with zeros, already suppressed."""
    output = base.only(outputs)[0]
    rows = output[output[:, 4] > 0]
    return base.pick(rows[:, :4], rows[:, 4], rows[:, 5], least)


def _read_rtdetr(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read centre x, centre y, width, height from 0 to 1, score and class."""
    rows = base.only(outputs)[0]
    boxes = base.in_pixels(base.corners(rows), network)
    return base.pick(boxes, rows[:, 4], rows[:, 5], least)


def _fits_rtdetr_scores(outputs: Outputs, network: Network) -> bool:
    return base.has_one(outputs, 1, None, 4 + network.classes)


def _read_rtdetr_scores(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read centre x, centre y, width, height from 0 to 1 and one score per class."""
    rows = base.only(outputs)[0]
    return base.pick_best(base.in_pixels(base.corners(rows), network), rows[:, 4:], least)


V8 = base.Family("one output [1, 4 + nc, n]", _fits_v8, _read_v8, suppress=True)
V5 = base.Family("one output [1, n, 5 + nc]", _fits_v5, _read_v5, suppress=True)
END_TO_END = base.Family(
    "one output [1, n, 6]", _fits_rows_of_six, _read_end_to_end, suppress=False
)
RTDETR = base.Family("one output [1, n, 6]", _fits_rows_of_six, _read_rtdetr, suppress=False)
RTDETR_SCORES = base.Family(
    "one output [1, n, 4 + nc]", _fits_rtdetr_scores, _read_rtdetr_scores, suppress=False
)
