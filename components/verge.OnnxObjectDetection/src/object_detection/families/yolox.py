"""YOLOX, with and without the boxes decoded inside the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from object_detection.families import base

if TYPE_CHECKING:
    from object_detection.families.base import Candidates, Network, Outputs

_STRIDES = ((8, 16, 32), (8, 16, 32, 64))
"""Usual networks, and those with a fourth level."""


def _strides(outputs: Outputs, network: Network) -> tuple[int, ...] | None:
    rows = base.only(outputs).shape[1]
    fitting = (steps for steps in _STRIDES if base.count_cells(network, steps) == rows)
    return next(fitting, None)


def _fits_decoded(outputs: Outputs, network: Network) -> bool:
    return base.has_one(outputs, 1, None, 5 + network.classes)


def _fits_raw(outputs: Outputs, network: Network) -> bool:
    return _fits_decoded(outputs, network) and _strides(outputs, network) is not None


def _read_decoded(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read centre x, centre y, width, height, objectness and one score per class."""
    return base.read_objectness(base.only(outputs)[0], least)


def _read_raw(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read the same relative to cells: (x, y) + cell and exp(width, height), in strides."""
    output = base.only(outputs)[0]
    cells, steps = base.make_grid(network, _strides(outputs, network) or ())
    chosen = np.flatnonzero(output[:, 4] >= least)
    # Indexing copied them, so that the output itself stays as it is.
    rows, cells, steps = output[chosen], cells[chosen], steps[chosen]
    rows[:, :2] = (rows[:, :2] + cells) * steps
    # A size beyond all bounds becomes infinite, and such a box is left out later.
    with np.errstate(over="ignore", invalid="ignore"):
        rows[:, 2:4] = np.exp(rows[:, 2:4]) * steps
        return base.read_objectness(rows, least)


RAW = base.Family(
    "one output [1, n, 5 + nc], n the cells of strides 8, 16, 32 (and 64)",
    _fits_raw,
    _read_raw,
    suppress=True,
)
DECODED = base.Family("one output [1, n, 5 + nc]", _fits_decoded, _read_decoded, suppress=True)
