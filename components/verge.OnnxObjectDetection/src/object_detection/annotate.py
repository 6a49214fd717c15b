"""Draw detections on a picture."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import cv2
import numpy as np

from object_detection.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from object_detection.postprocess import Detection

_LONGEST_SIDE = 1600
"""Enough to see what was found; the original stays where it is."""
_QUALITY = 85
_GOLDEN_RATIO = 0.618033988749895
"""Multiples of it spread over the colour circle, so neighbouring classes differ."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_detections(
    pixels: NDArray[np.uint8], detections: Sequence[Detection], width: int | None = None
) -> bytes:
    """Return a JPEG of the picture (rows by columns by 3, RGB) with boxes and labels.

    `width` is the picture's, which the boxes are measured in, where the pixels are fewer.
    """
    rows, columns = pixels.shape[:2]
    smaller_by = min(1.0, _LONGEST_SIDE / max(rows, columns))
    size = (max(1, round(columns * smaller_by)), max(1, round(rows * smaller_by)))
    scale = size[0] / (width or columns)
    if size != (columns, rows):
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    canvas = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)
    # The best detection is drawn last, so that it lies on top.
    for detection in reversed(detections):
        _draw(canvas, detection, scale)
    done, data = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise DetectionError("cannot encode the annotated picture")
    return bytes(data)


def prepare() -> None:
    """Load the font, so that the first picture is drawn as quickly as the others."""
    cv2.putText(np.zeros((8, 8, 3), np.uint8), "a", (0, 8), _FONT, 0.4, (0, 0, 0), 1, cv2.LINE_AA)


def _draw(canvas: NDArray[np.uint8], detection: Detection, scale: float) -> None:
    colour = _colour(detection.class_id)
    x1, y1, x2, y2 = (round(value * scale) for value in detection.box)
    thickness = max(1, round(max(canvas.shape[:2]) / 400))
    cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness, cv2.LINE_AA)
    text = f"{detection.label} {detection.score:.2f}"
    size = max(0.4, max(canvas.shape[:2]) / 1200)
    (width, height), _ = cv2.getTextSize(text, _FONT, size, 1)
    top = max(0, y1 - height - 6)
    cv2.rectangle(canvas, (x1, top), (x1 + width + 6, top + height + 6), colour, cv2.FILLED)
    cv2.putText(canvas, text, (x1 + 3, top + height + 2), _FONT, size, (0, 0, 0), 1, cv2.LINE_AA)


def _colour(class_id: int) -> tuple[int, int, int]:
    """Return blue, green, red of a class: light, so that black text stands out."""
    red, green, blue = colorsys.hsv_to_rgb(class_id * _GOLDEN_RATIO % 1.0, 0.75, 1.0)
    return round(blue * 255), round(green * 255), round(red * 255)
