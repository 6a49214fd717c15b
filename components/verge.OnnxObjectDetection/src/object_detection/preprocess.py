"""Bring a picture into the shape a model wants, and its boxes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from object_detection.card import Input

    Tensor = NDArray[np.float32] | NDArray[np.float16] | NDArray[np.uint8]


@dataclass(frozen=True)
class Geometry:
    """Where a picture lies within the model's input."""

    width: int
    """Of the picture, in pixels."""
    height: int
    scale_x: float
    """Input pixels per picture pixel."""
    scale_y: float
    left: int
    """Input pixels to the left of the picture."""
    top: int

    def to_picture(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes (n by 4: x1, y1, x2, y2) from input to picture pixels, clipped to it."""
        offset = np.array([self.left, self.top] * 2, dtype=np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, dtype=np.float32)
        limit = np.array([self.width, self.height] * 2, dtype=np.float32)
        mapped: NDArray[np.float32] = np.clip((boxes - offset) / scale, 0, limit)
        return mapped


DETAIL = 2
"""Pixels per input pixel that are worth decoding; more would only be averaged away."""


def sufficient_size(width: int, height: int, spec: Input) -> tuple[int, int]:
    """Return the width and height at which a picture may be decoded without loss for a model."""
    _, size = _place(width, height, spec)
    return size[0] * DETAIL, size[1] * DETAIL


def prepare_input(
    pixels: NDArray[np.uint8], spec: Input, picture: tuple[int, int] | None = None
) -> tuple[Tensor, Geometry]:
    """Return the input tensor and where the picture lies in it.

    The tensor is [1, 3, H, W], [1, H, W, 3] or [3, H, W], of the type that the card says. `picture`
    is the picture's width and height where the pixels are fewer.
    """
    width, height = picture or (pixels.shape[1], pixels.shape[0])
    geometry, size = _place(width, height, spec)
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    if size == (spec.width, spec.height):
        canvas: NDArray[np.uint8] = resized.astype(np.uint8, copy=False)
    else:
        canvas = np.full((spec.height, spec.width, 3), spec.pad, dtype=np.uint8)
        right, bottom = geometry.left + size[0], geometry.top + size[1]
        canvas[geometry.top : bottom, geometry.left : right] = resized
    return _arrange(canvas, spec), geometry


def _place(width: int, height: int, spec: Input) -> tuple[Geometry, tuple[int, int]]:
    if spec.resize == "stretch":
        size = (spec.width, spec.height)
    else:
        ratio = min(spec.width / width, spec.height / height)
        size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    centred = spec.resize == "letterbox"
    left = (spec.width - size[0]) // 2 if centred else 0
    top = (spec.height - size[1]) // 2 if centred else 0
    return Geometry(width, height, size[0] / width, size[1] / height, left, top), size


def _arrange(canvas: NDArray[np.uint8], spec: Input) -> Tensor:
    channels_last = spec.layout == "NHWC"
    backwards = spec.colour == "BGR"
    if channels_last:
        arranged = np.ascontiguousarray(canvas[:, :, ::-1]) if backwards else canvas
    else:
        arranged = _split(canvas, backwards=backwards)
    if spec.type == "uint8":
        tensor: Tensor = arranged
    else:
        tensor = _normalise(arranged, spec, (3,) if channels_last else (3, 1, 1))
    if spec.type == "float16":
        tensor = tensor.astype(np.float16)
    return tensor if spec.layout == "CHW" else tensor[None]


def _split(canvas: NDArray[np.uint8], *, backwards: bool) -> NDArray[np.uint8]:
    """Return the channels one after the other, the last one first if asked."""
    planes = np.empty((3, *canvas.shape[:2]), dtype=np.uint8)
    cv2.split(canvas, list(planes[::-1] if backwards else planes))
    return planes


def _normalise(
    values: NDArray[np.uint8], spec: Input, channels: tuple[int, ...]
) -> NDArray[np.float32]:
    """Apply (v / divide - mean) / std as one multiplication and one addition per channel."""
    std = np.array(spec.std, dtype=np.float32)
    factor = np.float32(1) / (np.float32(spec.divide) * std)
    shift = np.array(spec.mean, dtype=np.float32) / std
    # Bytes are moved about above and widened here, which is quicker than both at once.
    tensor = np.multiply(values, _spread(factor, channels), dtype=np.float32)
    if shift.any():
        tensor -= _spread(shift, channels)
    return tensor


def _spread(values: NDArray[np.float32], channels: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a value per channel in the shape to calculate with, as one if all are the same."""
    return values[:1].reshape(()) if (values == values[0]).all() else values.reshape(channels)
