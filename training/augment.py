"""Make new pictures of tags from known ones, with boxes that stay right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.data import Floats, Pixels

PAD = 114
"""The grey around a picture, as in the card."""
_MARGIN = 6.0
"""Pixels that people leave at most around a scratch when they draw its box."""
_LEAST_VISIBLE = 0.5
_LEAST_SIDE = 4.0
_CLEAR = 0.6
"""Correlation from which a scratch is taken for a line along one diagonal of its box."""


@dataclass(frozen=True)
class Sample:
    """A picture in memory."""

    pixels: Pixels
    """Height by width by RGB."""
    boxes: Floats
    """n by 4: x1, y1, x2, y2."""
    slants: Floats
    """n: 1 for a scratch from top left to bottom right, -1 from bottom left, 0 for neither."""


def make_sample(pixels: Pixels, boxes: Floats) -> Sample:
    """Return a sample that knows how its scratches slant."""
    grey = pixels.mean(axis=2).astype(np.float32)
    slants = [_measure_slant(grey, box) for box in boxes]
    return Sample(pixels, boxes, np.array(slants, dtype=np.float32))


def fit_matrix(width: int, height: int, size: tuple[int, int]) -> Floats:
    """Return the 2 by 3 matrix that brings a picture into the middle of `size`, whole."""
    ratio = min(size[0] / width, size[1] / height)
    left, top = (size[0] - width * ratio) / 2, (size[1] - height * ratio) / 2
    # The middle of a pixel, not its corner, is where its number says.
    half = (ratio - 1) / 2
    return np.array([[ratio, 0, left + half], [0, ratio, top + half]], dtype=np.float32)


def augment(
    samples: Sequence[Sample],
    index: int,
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    strong: bool = True,
) -> Sample:
    """Return one variant of a sample, `size` (width, height) large.

    A strong variant may hold scratches of other tags and be turned upright; a weak one stays close
    to what the camera sees.
    """
    sample = samples[index]
    for _ in range(rng.integers(0, 4) if strong and rng.random() < 0.5 else 0):
        sample = paste_scratch(sample, samples[int(rng.integers(len(samples)))], rng)
    sample = warp(sample, draw_matrix(sample, size, rng, strong=strong), size)
    return Sample(_shade(sample.pixels, rng), sample.boxes, sample.slants)


def warp(sample: Sample, matrix: Floats, size: tuple[int, int]) -> Sample:
    """Apply a 2 by 3 matrix to a picture and its boxes; what leaves the picture drops out."""
    pixels = cv2.warpAffine(
        sample.pixels, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(PAD, PAD, PAD)
    )
    moved = [_move_box(*item, matrix) for item in zip(sample.boxes, sample.slants, strict=True)]
    whole = np.array(moved, dtype=np.float32).reshape(-1, 4)
    boxes = np.clip(whole, 0, np.array([*size, *size], dtype=np.float32))
    sides, former = boxes[:, 2:] - boxes[:, :2], whole[:, 2:] - whole[:, :2]
    visible = sides.prod(axis=1) >= _LEAST_VISIBLE * former.prod(axis=1)
    kept = visible & (sides.min(axis=1, initial=np.inf) >= _LEAST_SIDE)
    turned = np.sign(np.linalg.det(matrix[:, :2]))
    return Sample(np.asarray(pixels, np.uint8), boxes[kept], sample.slants[kept] * turned)


def paste_scratch(sample: Sample, donor: Sample, rng: np.random.Generator) -> Sample:
    """Add the light of one scratch of another tag where this tag has none."""
    if not len(donor.boxes):
        return sample
    number = int(rng.integers(len(donor.boxes)))
    light, slant = _cut_light(donor, number), donor.slants[number]
    if rng.random() < 0.5:
        light, slant = light[:, ::-1], -slant
    if rng.random() < 0.5:
        light, slant = light[::-1], -slant
    if rng.random() < 0.5:
        light = light.transpose(1, 0, 2)
    place = _find_place(sample, light.shape[1], light.shape[0], rng)
    if place is None:
        return sample
    x, y = place
    height, width = light.shape[:2]
    pixels = sample.pixels.copy()
    spot = pixels[y : y + height, x : x + width]
    spot[:] = np.clip(spot + light * rng.uniform(0.6, 1.1), 0, 255).astype(np.uint8)
    box = np.array([[x, y, x + width, y + height]], dtype=np.float32)
    return Sample(
        pixels,
        np.concatenate([sample.boxes, box]),
        np.append(sample.slants, np.float32(slant)),
    )


def _measure_slant(grey: Floats, box: Floats) -> float:
    x1, y1, x2, y2 = box.round().astype(int)
    part = grey[max(y1, 0) : y2, max(x1, 0) : x2]
    if part.size == 0:
        return 0.0
    light = np.clip(part - np.median(part) - 15, 0, 120)
    total = light.sum()
    if total <= 0:
        return 0.0
    ys, xs = np.mgrid[: part.shape[0], : part.shape[1]]
    xs = xs - (light * xs).sum() / total
    ys = ys - (light * ys).sum() / total
    spread = (light * xs**2).sum() * (light * ys**2).sum()
    if spread <= 0:
        return 0.0
    correlation = (light * xs * ys).sum() / np.sqrt(spread)
    return float(np.sign(correlation)) if abs(correlation) >= _CLEAR else 0.0


def _move_box(box: Floats, slant: float, matrix: Floats) -> Floats:
    """Return the box of what the box holds after the move.

    The corners of a turned box would claim too much: of a slanting scratch only the two corners
    count in which it ends.
    """
    margin = min(_MARGIN, float((box[2:] - box[:2]).min()) / 3)
    x1, y1, x2, y2 = box + np.array([1, 1, -1, -1], dtype=np.float32) * margin
    corners = np.array([[x1, y1], [x2, y2], [x1, y2], [x2, y1]], dtype=np.float32)
    if slant:
        corners = corners[:2] if slant > 0 else corners[2:]
    # Edges of boxes lie between pixels, matrices move their middles.
    moved = (corners - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    around = margin * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return np.concatenate([moved.min(axis=0) - around, moved.max(axis=0) + around])


def draw_matrix(
    sample: Sample, size: tuple[int, int], rng: np.random.Generator, *, strong: bool
) -> Floats:
    """Draw flips, a quarter turn, a small turn, a scale, a stretch and a shift."""
    reach = 1.0 if strong else 0.3
    height, width = sample.pixels.shape[:2]
    steps = [_about(np.diag(rng.choice([-1.0, 1.0], 2)), (width - 1) / 2, (height - 1) / 2)]
    scale = np.exp(rng.uniform(-0.3, 0.3) * reach)
    if strong and rng.random() < 0.25:
        steps.append(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float64))
        width, height = height, width
        # An upright tag would only fill the middle.
        scale *= 1.3
    fit = np.vstack([fit_matrix(width, height, size), [0, 0, 1]])
    angle = np.deg2rad(rng.uniform(-8, 8) * reach)
    stretch = np.exp(rng.uniform(-0.12, 0.12) * reach)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([scale * stretch, scale / stretch])
    shift = np.eye(3)
    shift[:2, 2] = rng.uniform(-0.12, 0.12, 2) * reach * size
    steps += [fit, _about(linear, (size[0] - 1) / 2, (size[1] - 1) / 2), shift]
    whole = np.eye(3)
    for step in steps:
        whole = step @ whole
    return whole[:2].astype(np.float32)


def _about(linear: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return the 3 by 3 matrix of a linear map that leaves one point where it is."""
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = np.array([x, y]) - linear @ np.array([x, y])
    return matrix


def _shade(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Change light, contrast, gamma, colour, sharpness and noise."""
    levels = np.linspace(0, 1, 256, dtype=np.float32) ** np.exp(rng.uniform(-0.35, 0.35))
    middle = levels[int(pixels[::8, ::8].mean())]
    levels = (levels - middle) * rng.uniform(0.75, 1.3) + middle * rng.uniform(0.75, 1.3)
    table = levels[:, None] * rng.uniform(0.97, 1.03, 3) * 255
    shaded = cv2.LUT(pixels, np.clip(table, 0, 255).astype(np.uint8)[None])
    if rng.random() < 0.25:
        shaded = cv2.GaussianBlur(shaded, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < 0.4:
        noise = rng.standard_normal(pixels.shape[:2], dtype=np.float32) * rng.uniform(1, 6)
        shaded = np.clip(shaded + noise[..., None], 0, 255)
    return shaded.astype(np.uint8)


def _cut_light(donor: Sample, number: int) -> Floats:
    """Return how much brighter than its tag a scratch is."""
    x1, y1, x2, y2 = donor.boxes[number].round().astype(int)
    part = donor.pixels[max(y1, 0) : y2, max(x1, 0) : x2].astype(np.float32)
    return np.clip(part - np.median(part, axis=(0, 1)) - 6, 0, None)


def _find_place(
    sample: Sample, width: int, height: int, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Return the corner of a free place within the tag; None if a few tries find none."""
    full_height, full_width = sample.pixels.shape[:2]
    left, top = round(full_width * 0.08), round(full_height * 0.14)
    right, bottom = full_width - left - width, full_height - top - height
    if width < _LEAST_SIDE or height < _LEAST_SIDE or right <= left or bottom <= top:
        return None
    for _ in range(8):
        x, y = int(rng.integers(left, right)), int(rng.integers(top, bottom))
        apart = (
            (sample.boxes[:, 0] >= x + width)
            | (sample.boxes[:, 2] <= x)
            | (sample.boxes[:, 1] >= y + height)
            | (sample.boxes[:, 3] <= y)
        )
        if apart.all():
            return x, y
    return None
