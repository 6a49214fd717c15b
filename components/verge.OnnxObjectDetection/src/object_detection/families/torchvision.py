"""The detectors of torchvision, which normalise and suppress inside the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from object_detection.families import base

if TYPE_CHECKING:
    from object_detection.families.base import Candidates, Network, Outputs


def _fits(outputs: Outputs, network: Network) -> bool:
    boxes, labels, scores = (base.find(outputs, name) for name in ("boxes", "labels", "scores"))
    return (
        base.is_shaped(boxes, None, 4)
        and base.is_shaped(labels, None)
        and base.is_shaped(scores, None)
    )


def _read(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read x1, y1, x2, y2 in pixels, classes from 1, and scores; there is no batch dimension."""
    boxes, labels, scores = (base.get(outputs, name) for name in ("boxes", "labels", "scores"))
    # Class 0 is the background; the first label is class 1.
    return base.pick(boxes, scores, labels - 1, least)


TORCHVISION = base.Family(
    "outputs boxes [n, 4], labels [n] and scores [n]", _fits, _read, suppress=False
)
