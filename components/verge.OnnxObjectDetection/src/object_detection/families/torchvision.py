"""The detectors of torchvision, which normalise and suppress inside the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from object_detection.families import base

if TYPE_CHECKING:
    from object_detection.families.base import Candidates, Network, Outputs

_NAMES = ("boxes", "labels", "scores")


def _name(outputs: Outputs) -> Outputs:
    """Return the outputs under their usual names.

    An export that was not told names has numbers for them. The three still cannot be mistaken for
    one another: only boxes have columns, and only labels are whole numbers.
    """
    if len(outputs) != len(_NAMES) or any(base.find(outputs, name) is not None for name in _NAMES):
        return outputs
    found = {(value.ndim, value.dtype.kind): value for value in outputs.values()}
    kinds = {"boxes": (2, "f"), "labels": (1, "i"), "scores": (1, "f")}
    return {name: found[kind] for name, kind in kinds.items() if kind in found}


def _fits(outputs: Outputs, network: Network) -> bool:
    boxes, labels, scores = (base.find(_name(outputs), name) for name in _NAMES)
    return (
        base.is_shaped(boxes, None, 4)
        and base.is_shaped(labels, None)
        and base.is_shaped(scores, None)
    )


def _read(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read x1, y1, x2, y2 in pixels, classes from 1, and scores; there is no batch dimension."""
    boxes, labels, scores = (base.get(_name(outputs), name) for name in _NAMES)
    # Class 0 is the background; the first label is class 1.
    return base.pick(boxes, scores, labels - 1, least)


TORCHVISION = base.Family(
    "outputs boxes [n, 4], labels [n] and scores [n]", _fits, _read, suppress=False
)
