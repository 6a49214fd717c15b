"""DETR and what grew from it: one box per query, without suppression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from object_detection.families import base

if TYPE_CHECKING:
    from object_detection.families.base import Candidates, Network, Outputs

_LOGITS = ("logits", "pred_logits")
_BOXES = ("pred_boxes",)
_RF_LOGITS = ("labels",)
_RF_BOXES = ("dets",)


def _fits(outputs: Outputs, logits: tuple[str, ...], boxes: tuple[str, ...], columns: int) -> bool:
    return base.is_shaped(base.find(outputs, *logits), 1, None, columns) and base.is_shaped(
        base.find(outputs, *boxes), 1, None, 4
    )


def _fits_detr(outputs: Outputs, network: Network) -> bool:
    return _fits(outputs, _LOGITS, _BOXES, network.classes + 1)


def _fits_rt_detr(outputs: Outputs, network: Network) -> bool:
    return _fits(outputs, _LOGITS, _BOXES, network.classes)


def _fits_rf_detr(outputs: Outputs, network: Network) -> bool:
    # Trained on classes from 0 it has one more column than classes, the last, for the background;
    # the weights that were trained on the numbers of COCO have none.
    return any(
        _fits(outputs, _RF_LOGITS, _RF_BOXES, network.classes + background) for background in (0, 1)
    )


def _read_detr(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read softmax scores, the last of which says that there is no object."""
    scores = base.softmax(base.get(outputs, *_LOGITS)[0])[:, :-1]
    boxes = base.corners(base.get(outputs, *_BOXES)[0])
    return base.pick_best(base.in_pixels(boxes, network), scores, least)


def _read_rt_detr(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read sigmoid scores, one per class."""
    scores = base.sigmoid(base.get(outputs, *_LOGITS)[0])
    boxes = base.corners(base.get(outputs, *_BOXES)[0])
    return base.pick_best(base.in_pixels(boxes, network), scores, least)


def _read_rf_detr(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read the same under other names, without the background that may come last."""
    scores = base.sigmoid(base.get(outputs, *_RF_LOGITS)[0][:, : network.classes])
    boxes = base.corners(base.get(outputs, *_RF_BOXES)[0])
    return base.pick_best(base.in_pixels(boxes, network), scores, least)


DETR = base.Family(
    "outputs logits [1, n, nc + 1] and pred_boxes [1, n, 4]",
    _fits_detr,
    _read_detr,
    suppress=False,
)
RT_DETR = base.Family(
    "outputs logits [1, n, nc] and pred_boxes [1, n, 4]",
    _fits_rt_detr,
    _read_rt_detr,
    suppress=False,
)
RF_DETR = base.Family(
    "outputs labels [1, n, nc] or [1, n, nc + 1] and dets [1, n, 4]",
    _fits_rf_detr,
    _read_rf_detr,
    suppress=False,
)
