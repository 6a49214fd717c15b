"""NanoDet: every side of a box is a distribution over its distance from the cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from object_detection.families import base

if TYPE_CHECKING:
    from object_detection.families.base import Candidates, Floats, Network, Outputs

_STRIDES = (8, 16, 32)
_PLUS_STRIDES = (8, 16, 32, 64)
_LEAST_BINS = 2


def _fits(outputs: Outputs, network: Network) -> bool:
    widths = set()
    for step in _STRIDES:
        cells = base.count_cells(network, (step,))
        sides = base.find(outputs, f"dis_pred_stride_{step}")
        if (
            not base.is_shaped(
                base.find(outputs, f"cls_pred_stride_{step}"), 1, cells, network.classes
            )
            or sides is None
            or not base.is_shaped(sides, 1, cells, None)
        ):
            return False
        widths.add(sides.shape[2])
    return len(widths) == 1 and _are_bins(widths.pop())


def _are_bins(columns: int) -> bool:
    return columns % 4 == 0 and columns >= 4 * _LEAST_BINS


def _fits_plus(outputs: Outputs, network: Network) -> bool:
    cells = base.count_cells(network, _PLUS_STRIDES)
    if not base.has_one(outputs, 1, cells, None):
        return False
    return _are_bins(base.only(outputs).shape[2] - network.classes)


def _read(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read scores and distances per stride, measured from the middle of each cell."""
    scores, sides = (
        np.concatenate([base.get(outputs, f"{name}_stride_{step}")[0] for step in _STRIDES])
        for name in ("cls_pred", "dis_pred")
    )
    return _decode(scores, sides, base.make_grid(network, _STRIDES), 0.5, least)


def _read_plus(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read scores and distances in one row per cell, measured from the corner of each cell."""
    output = base.only(outputs)[0]
    scores, sides = output[:, : network.classes], output[:, network.classes :]
    return _decode(scores, sides, base.make_grid(network, _PLUS_STRIDES), 0.0, least)


def _decode(
    scores: Floats, sides: Floats, grid: tuple[Floats, Floats], origin: float, least: float
) -> Candidates:
    """Turn distributions over 0, 1, 2, … strides into boxes, for cells with the score only."""
    chosen = np.flatnonzero(scores.max(axis=1) >= least)
    cells, steps = grid[0][chosen], grid[1][chosen]
    shares = base.softmax(sides[chosen].reshape(len(chosen), 4, sides.shape[1] // 4))
    # Left, top, right, bottom: the mean of each distribution.
    distances = shares @ np.arange(shares.shape[2], dtype=np.float32) * steps
    centres = (cells + np.float32(origin)) * steps
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    return base.pick_best(boxes, scores[chosen], least)


NANODET = base.Family(
    "outputs cls_pred_stride_S [1, n, nc] and dis_pred_stride_S [1, n, 4 * bins] for S 8, 16, 32",
    _fits,
    _read,
    suppress=True,
)
NANODET_PLUS = base.Family(
    "one output [1, n, nc + 4 * bins], n the cells of strides 8, 16, 32, 64",
    _fits_plus,
    _read_plus,
    suppress=True,
)
