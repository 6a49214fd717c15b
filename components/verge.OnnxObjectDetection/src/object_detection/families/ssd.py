"""SSD and its kin as the TensorFlow model zoo exports them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from object_detection.families import base

if TYPE_CHECKING:
    from object_detection.families.base import Candidates, Network, Outputs

_NAMES = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")


def _fits(outputs: Outputs, network: Network) -> bool:
    boxes, classes, scores, count = (base.find(outputs, name) for name in _NAMES)
    return (
        base.is_shaped(boxes, 1, None, 4)
        and base.is_shaped(classes, 1, None)
        and base.is_shaped(scores, 1, None)
        and count is not None
        and count.size == 1
    )


def _read(outputs: Outputs, network: Network, least: float) -> Candidates:
    """Read y1, x1, y2, x2 from 0 to 1, classes from 1, scores, and how many of them count."""
    boxes, classes, scores, count = (base.get(outputs, name) for name in _NAMES)
    used = max(0, int(base.whole_numbers(count.ravel())[0]))
    turned = base.in_pixels(boxes[0, :used][:, [1, 0, 3, 2]], network)
    # Class 0 is the background; the first label is class 1.
    return base.pick(turned, scores[0, :used], classes[0, :used] - 1, least)


SSD_MOBILENET = base.Family(
    f"outputs named {', '.join(_NAMES)}; boxes [1, n, 4], classes and scores [1, n]",
    _fits,
    _read,
    suppress=False,
)
