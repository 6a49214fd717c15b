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
    if spec.colour == "BGR":
        canvas = canvas[:, :, ::-1]
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
    arranged = canvas if channels_last else canvas.transpose(2, 0, 1)
    if spec.type == "uint8":
        tensor: Tensor = np.ascontiguousarray(arranged)
    else:
        tensor = _normalise(arranged, spec, (3,) if channels_last else (3, 1, 1))
    if spec.type == "float16":
        tensor = tensor.astype(np.float16)
    return tensor if spec.layout == "CHW" else tensor[None]


def _normalise(
    values: NDArray[np.uint8], spec: Input, channels: tuple[int, ...]
) -> NDArray[np.float32]:
    """Apply (v / divide - mean) / std as one multiplication and one addition per channel."""
    std = np.array(spec.std, dtype=np.float32)
    factor = 1 / (np.float32(spec.divide) * std)
    shift = np.array(spec.mean, dtype=np.float32) / std
    # Moving single bytes about and widening them afterwards is quicker than both at once.
    tensor = np.ascontiguousarray(values).astype(np.float32)
    tensor *= factor.reshape(channels)
    if shift.any():
        tensor -= shift.reshape(channels)
    return tensor
