"""New pictures from known ones, with boxes that stay right."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import augment, data

WIDTH, HEIGHT = 450, 300
SIZE = (480, 320)
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)
Line = tuple[tuple[int, int], tuple[int, int]]


def draw(*lines: Line) -> augment.Sample:
    """Return a dark tag with bright lines, each in a box that fits with 3 pixels around."""
    pixels = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    for start, end in lines:
        cv2.line(pixels, start, end, (255, 255, 255), 3)
    boxes = [
        [min(a[0], b[0]) - 4, min(a[1], b[1]) - 4, max(a[0], b[0]) + 5, max(a[1], b[1]) + 5]
        for a, b in lines
    ]
    return augment.make_sample(pixels, np.array(boxes, dtype=np.float32).reshape(-1, 4))


def extent(pixels: data.Pixels) -> list[int]:
    """Return x1, y1, x2, y2 of what is bright."""
    ys, xs = np.nonzero(pixels.max(axis=2) > 190)
    return [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]


POINTS = st.tuples(st.integers(130, 320), st.integers(90, 210))


@settings(max_examples=60)
@given(POINTS, POINTS, SEEDS, st.booleans())
def test_a_box_still_holds_its_scratch(
    start: tuple[int, int], end: tuple[int, int], seed: int, strong: bool
) -> None:
    """However a tag is turned, stretched and moved, the box fits the line as closely as before."""
    if max(abs(start[0] - end[0]), abs(start[1] - end[1])) < 30:
        end = (start[0] + 40, start[1] + 20)
    sample = draw((start, end))
    matrix = augment.draw_matrix(sample, SIZE, np.random.default_rng(seed), strong=strong)
    moved = augment.warp(sample, matrix, SIZE)
    assert len(moved.boxes) == 1
    seen, box = extent(moved.pixels), moved.boxes[0]
    if min(seen) > 3 and seen[2] < SIZE[0] - 3 and seen[3] < SIZE[1] - 3:
        assert np.abs(box - seen).max() <= 10, (box, seen)
        assert (box[:2] <= np.array(seen[:2]) + 2).all()
        assert (box[2:] >= np.array(seen[2:]) - 2).all()


@settings(max_examples=40)
@given(SEEDS, st.booleans())
def test_boxes_lie_within_the_picture(seed: int, strong: bool) -> None:
    """Every box has an area and lies within the input; the picture has its size and type."""
    first = draw(((60, 60), (200, 150)), ((300, 250), (420, 255)))
    samples = [first, draw(((150, 80), (160, 220)))]
    made = augment.augment(samples, 0, SIZE, np.random.default_rng(seed), strong=strong)
    assert made.pixels.shape == (SIZE[1], SIZE[0], 3)
    assert made.pixels.dtype == np.uint8
    assert made.boxes.shape == (len(made.slants), 4)
    assert (made.boxes[:, 2:] - made.boxes[:, :2] > 0).all()
    assert (made.boxes >= 0).all()
    assert (made.boxes <= np.array([*SIZE, *SIZE])).all()


def test_the_same_numbers_give_the_same_picture() -> None:
    """A variant depends on its generator alone."""
    samples = [draw(((60, 60), (200, 150))), draw(((150, 80), (160, 220)))]
    first, again, other = (
        augment.augment(samples, 0, SIZE, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.pixels, other.pixels)
    assert (samples[0].pixels == draw(((60, 60), (200, 150))).pixels).all(), "the original stays"


@pytest.mark.parametrize(
    ("line", "slant"),
    [
        pytest.param(((100, 100), (200, 150)), 1, id="falling"),
        pytest.param(((100, 150), (200, 100)), -1, id="rising"),
        pytest.param(((150, 100), (150, 200)), 0, id="upright"),
        pytest.param(((100, 150), (200, 150)), 0, id="level"),
    ],
)
def test_sees_how_a_scratch_slants(line: Line, slant: int) -> None:
    """A scratch that runs along a diagonal of its box says along which."""
    assert draw(line).slants.tolist() == [slant]


def test_a_flip_turns_the_slant() -> None:
    """What fell from left to right rises in a mirror, and falls again in two."""
    sample = draw(((100, 100), (200, 150)))
    mirror = np.array([[-1, 0, WIDTH - 1], [0, 1, 0]], dtype=np.float32)
    once = augment.warp(sample, mirror, (WIDTH, HEIGHT))
    twice = augment.warp(once, mirror, (WIDTH, HEIGHT))
    assert (once.slants.tolist(), twice.slants.tolist()) == ([-1], [1])
    np.testing.assert_allclose(twice.boxes, sample.boxes, atol=1e-3)
    np.testing.assert_allclose(once.boxes[0], [245, 96, 354, 155], atol=1e-3)


def test_what_leaves_the_picture_is_forgotten() -> None:
    """A scratch of which less than half is left is not asked for."""
    sample = draw(((100, 100), (200, 150)))
    away = np.array([[1, 0, -180], [0, 1, 0]], dtype=np.float32)
    half = np.array([[1, 0, -110], [0, 1, 0]], dtype=np.float32)
    assert not len(augment.warp(sample, away, (WIDTH, HEIGHT)).boxes)
    assert augment.warp(sample, half, (WIDTH, HEIGHT)).boxes[0, 0] == 0


@settings(max_examples=40)
@given(SEEDS)
def test_a_pasted_scratch_is_where_its_box_says(seed: int) -> None:
    """Light is added within the new box alone, and only where no other box is."""
    sample, donor = draw(((60, 60), (120, 90))), draw(((200, 100), (280, 160)))
    made = augment.paste_scratch(sample, donor, np.random.default_rng(seed))
    assert len(made.boxes) == len(made.slants) == 2
    changed = (made.pixels != sample.pixels).any(axis=2)
    x1, y1, x2, y2 = made.boxes[1].astype(int)
    assert changed[y1:y2, x1:x2].any()
    changed[y1:y2, x1:x2] = False
    assert not changed.any()
    grey = made.pixels.mean(axis=2).astype(np.float32)
    assert augment.make_sample(made.pixels, made.boxes).slants[1] == made.slants[1], grey.max()


def test_nothing_is_pasted_from_a_clean_tag() -> None:
    """A tag without scratches gives none."""
    sample = draw(((60, 60), (120, 90)))
    assert augment.paste_scratch(sample, draw(), np.random.default_rng(0)) is sample


def test_the_whole_picture_lies_in_the_middle() -> None:
    """A picture without variation is placed as the detector places it."""
    sample = draw(((100, 100), (200, 150)))
    moved = augment.warp(sample, augment.fit_matrix(WIDTH, HEIGHT, SIZE), SIZE)
    expected = cv2.resize(sample.pixels, SIZE, interpolation=cv2.INTER_LINEAR)
    inner = (slice(3, -3), slice(3, -3))
    assert np.abs(moved.pixels[inner].astype(int) - expected[inner].astype(int)).max() <= 8
    np.testing.assert_allclose(moved.boxes, sample.boxes * (480 / 450), atol=1e-3)
