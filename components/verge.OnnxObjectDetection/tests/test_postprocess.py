"""Decoding and suppression, against a reference written with plain loops."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from object_detection import card, decode, detector, postprocess, preprocess
from object_detection.families import base, ultralytics
from PIL import Image

SPEC = card.Input(
    name="images",
    layout="NCHW",
    colour="RGB",
    width=416,
    height=416,
    divide=255,
    mean=(0, 0, 0),
    std=(1, 1, 1),
    resize="letterbox",
    pad=114,
)
THRESHOLDS = card.Thresholds(score=0.35, iou=0.5, max_detections=50)


def overlap(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def reference(
    output: NDArray[np.float32], size: tuple[int, int], limits: card.Thresholds
) -> list[tuple[int, float, list[float]]]:
    """Read an Ultralytics v8 output [4 + nc, n] the slow way: class, score, box in pixels."""
    width, height = size
    ratio = min(416 / width, 416 / height)
    # Rounded to whole pixels, the two axes are not scaled quite alike.
    size_x, size_y = max(1, round(width * ratio)), max(1, round(height * ratio))
    left, top = (416 - size_x) // 2, (416 - size_y) // 2
    scale_x, scale_y = size_x / width, size_y / height

    def scale(box: list[float]) -> list[float]:
        x1, x2 = (min(max((box[i] - left) / scale_x, 0), width) for i in (0, 2))
        y1, y2 = (min(max((box[i] - top) / scale_y, 0), height) for i in (1, 3))
        return [x1, y1, x2, y2]

    found = []
    for column in output.T.tolist():
        scores = column[4:]
        score = max(scores)
        if score >= limits.score:
            x, y, w, h = column[:4]
            box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            x1, y1, x2, y2 = scale(box)
            if x1 < x2 and y1 < y2:
                found.append((scores.index(score), score, box))
    found.sort(key=lambda entry: -entry[1])
    kept: list[tuple[int, float, list[float]]] = []
    for class_id, score, box in found:
        if all(class_id != other or overlap(box, best) <= limits.iou for other, _, best in kept):
            kept.append((class_id, score, box))
    return [(class_id, score, scale(box)) for class_id, score, box in kept[: limits.max_detections]]


def compare(
    found: list[postprocess.Detection], expected: list[tuple[int, float, list[float]]]
) -> None:
    assert [entry.class_id for entry in found] == [entry[0] for entry in expected]
    for mine, (_, score, box) in zip(found, expected, strict=True):
        assert mine.score == pytest.approx(score, abs=1e-4)
        assert np.abs(np.array(mine.box) - box).max() <= 1.0


@pytest.mark.parametrize("least", [0.05, 0.35])
@pytest.mark.parametrize("name", ["chelsea.png", "astronaut.png", "coffee.png"])
def test_agrees_with_the_reference_on_real_pictures(
    loaded: Any, pictures: Path, name: str, least: float
) -> None:
    """On real outputs of the real model every box is within a pixel of the reference."""
    limits = card.Thresholds(score=least, iou=0.5, max_detections=300)
    pixels = decode.read_picture(str(pictures / name), 10**8).pixels
    tensor, geometry = preprocess.prepare_input(pixels, loaded.card.input)
    outputs = loaded._session.run(tensor)
    found = postprocess.select_detections(
        loaded._session.read(outputs, least),
        geometry,
        limits,
        loaded.card.labels,
        suppress=True,
    )
    assert found
    compare(found, reference(outputs["output0"][0], (geometry.width, geometry.height), limits))


@settings(max_examples=60)
@given(
    st.integers(1, 40), st.integers(1, 4), st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_agrees_with_the_reference_on_any_output(
    count: int, classes: int, size: tuple[int, int], seed: int
) -> None:
    """Crowds of overlapping boxes of several classes come out as the reference has them."""
    random = np.random.default_rng(seed)
    output = np.zeros((4 + classes, count), dtype=np.float32)
    output[:2] = random.uniform(150, 260, (2, count))
    output[2:4] = random.uniform(10, 120, (2, count))
    # No two scores alike, and none on the very edge of the threshold.
    ranks = random.permutation(classes * count).reshape(classes, count)
    output[4:] = (ranks + 0.37) / (classes * count)
    centres = zip(*output[:4].tolist(), strict=True)
    boxes = [[x - w / 2, y - h / 2, x + w / 2, y + h / 2] for x, y, w, h in centres]
    # On the very edge of the threshold, numbers of 32 and of 64 bits may disagree.
    assume(all(abs(overlap(a, b) - 0.5) > 1e-5 for a, b in itertools.combinations(boxes, 2)))
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    _, geometry = preprocess.prepare_input(pixels, SPEC)
    found = postprocess.select_detections(
        ultralytics.V8.read(
            {"output0": output[None]}, base.Network(classes, 416, 416), THRESHOLDS.score
        ),
        geometry,
        THRESHOLDS,
        [f"class {number}" for number in range(classes)],
        suppress=True,
    )
    compare(found, reference(output, size, THRESHOLDS))


def test_classes_do_not_suppress_one_another() -> None:
    """Two objects of different classes in one place are both reported."""
    boxes = np.array([[0, 0, 10, 10]] * 3, dtype=np.float32)
    scores = np.array([0.9, 0.8, 0.7], dtype=np.float32)
    kept = postprocess.suppress_overlaps(boxes, scores, np.array([0, 1, 0]), 0.5)
    assert kept.tolist() == [0, 1]


def test_classes_stay_apart_beyond_the_corner() -> None:
    """Boxes that reach out of the input to the left and above suppress none of another class."""
    boxes = np.array([[90, 90, 100, 100], [-11, -11, -1, -1], [90, 90, 100, 100]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], dtype=np.float32)
    kept = postprocess.suppress_overlaps(boxes, scores, np.array([0, 1, 1]), 0.5)
    assert kept.tolist() == [0, 1, 2]


def test_odd_numbers_do_not_get_through() -> None:
    """Boxes that are not numbers or endless, and classes without a label, are left out."""
    candidates = base.Candidates(
        np.array(
            [[0, 0, np.nan, 5], [0, 0, np.inf, 5], [0, 0, 3e38, 5], [1, 1, 5, 5], [1, 1, 5, 5]],
            np.float32,
        ),
        np.array([0.9, 0.9, 0.9, np.nan, 0.9], np.float32),
        np.array([0, 0, 0, 0, 7]),
    )
    geometry = preprocess.Geometry(10, 10, 1.0, 1.0, 0, 0)
    assert not postprocess.select_detections(
        candidates, geometry, THRESHOLDS, ["one"], suppress=True
    )


def test_boxes_beside_the_picture_are_no_objects_in_it() -> None:
    """What lies in the padding is left out, and suppresses nothing; what reaches in is clipped."""
    boxes = np.array([[0, 1, 20, 10], [0, 3, 20, 12], [0, 3, 20, 13]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    candidates = base.Candidates(boxes, scores, np.zeros(3, np.int64))
    # A picture of 20 by 10 in the middle of an input of 20 by 30.
    geometry = preprocess.Geometry(20, 10, 1.0, 1.0, 0, 10)
    found = postprocess.select_detections(candidates, geometry, THRESHOLDS, ["one"], suppress=True)
    assert [entry.box for entry in found] == [(0.0, 0.0, 20.0, 2.0)]


def test_reports_no_more_than_the_limit() -> None:
    """A picture full of objects gives the best of them, best first."""
    count = 500
    boxes = np.array([[i * 20, 0, i * 20 + 10, 10] for i in range(count)], np.float32)
    scores = np.linspace(0.4, 0.9, count).astype(np.float32)
    candidates = base.Candidates(boxes, scores, np.zeros(count, np.int64))
    geometry = preprocess.Geometry(20_000, 100, 1.0, 1.0, 0, 0)
    found = postprocess.select_detections(candidates, geometry, THRESHOLDS, ["one"], suppress=True)
    assert len(found) == 50
    assert found[0].score == 0.9
    assert [entry.score for entry in found] == sorted((e.score for e in found), reverse=True)


@pytest.mark.parametrize("resize", card.RESIZES)
@pytest.mark.parametrize("size", [(451, 300), (300, 451), (1, 4000), (4000, 1), (416, 416)])
def test_boxes_come_back_where_they_were(resize: str, size: tuple[int, int]) -> None:
    """The corners of a picture, seen in the input, map back to its corners."""
    spec = card.Input(**{**SPEC.__dict__, "resize": resize})
    _, geometry = preprocess.prepare_input(np.zeros((size[1], size[0], 3), np.uint8), spec)
    inside = np.array(
        [
            [
                geometry.left,
                geometry.top,
                geometry.left + geometry.width * geometry.scale_x,
                geometry.top + geometry.height * geometry.scale_y,
            ]
        ],
        np.float32,
    )
    assert np.allclose(geometry.to_picture(inside), [[0, 0, *size]], atol=0.01)


@pytest.mark.parametrize("layout", card.LAYOUTS)
@pytest.mark.parametrize("colour", card.COLOURS)
def test_normalises_as_the_card_says(layout: str, colour: str) -> None:
    """Layout, order of colours, mean and deviation are those of the card."""
    spec = card.Input(
        **{
            **SPEC.__dict__,
            "layout": layout,
            "colour": colour,
            "divide": 2.0,
            "mean": (1.0, 2.0, 3.0),
            "std": (4.0, 5.0, 6.0),
        }
    )
    pixels = np.asarray(Image.new("RGB", (416, 416), (10, 20, 30)))
    tensor, _ = preprocess.prepare_input(pixels, spec)
    first = {"NCHW": (0, slice(None), 0, 0), "NHWC": (0, 0, 0), "CHW": (slice(None), 0, 0)}
    values = tensor[first[layout]]
    channels = [10, 20, 30] if colour == "RGB" else [30, 20, 10]
    expected = [
        (value / 2 - mean) / std
        for value, mean, std in zip(channels, (1, 2, 3), (4, 5, 6), strict=True)
    ]
    shapes = {"NCHW": (1, 3, 416, 416), "NHWC": (1, 416, 416, 3), "CHW": (3, 416, 416)}
    assert tensor.shape == shapes[layout]
    assert np.allclose(values, expected)


@pytest.mark.parametrize("layout", card.LAYOUTS)
def test_whole_numbers_stay_what_they_are(layout: str) -> None:
    """A network that takes bytes gets those of the picture."""
    spec = card.Input(**{**SPEC.__dict__, "layout": layout, "type": "uint8", "divide": 1.0})
    pixels = np.asarray(Image.new("RGB", (416, 416), (10, 20, 30)))
    tensor, _ = preprocess.prepare_input(pixels, spec)
    assert tensor.dtype == np.uint8
    assert sorted(set(tensor.ravel().tolist())) == [10, 20, 30]
    channels = tensor.reshape(-1, 3)[0] if layout == "NHWC" else tensor.reshape(3, -1)[:, 0]
    assert channels.tolist() == [10, 20, 30]


def test_pads_with_the_grey_of_the_card() -> None:
    """Around a picture that is not square lies the card's grey."""
    tensor, geometry = preprocess.prepare_input(np.zeros((100, 200, 3), np.uint8), SPEC)
    assert (geometry.left, geometry.top) == (0, 104)
    assert np.allclose(tensor[0, :, 0, 0], 114 / 255)
    assert np.allclose(tensor[0, :, 208, 208], 0)


def test_fewer_pixels_give_the_same_boxes(loaded: Any, pictures: Path) -> None:
    """A large JPEG decoded at a part of its size gives the boxes of the whole, in its pixels."""
    with Image.open(pictures / "chelsea.png") as source:
        large = source.convert("RGB").resize((source.width * 7, source.height * 7))
    stream = io.BytesIO()
    large.save(stream, "JPEG", quality=95)
    spec, thresholds = loaded.card.input, loaded.thresholds(None, None)
    found = []
    for enough in (None, lambda w, h: preprocess.sufficient_size(w, h, spec)):
        pixels, size = decode.decode_picture(stream.getvalue(), 10**8, enough)
        tensor, geometry = preprocess.prepare_input(pixels, spec, size)
        prepared = detector.Prepared(
            decode.Picture(pixels, *size, "", 0), tensor, geometry, timings={}
        )
        [inferred] = loaded.infer([prepared])
        found.append((pixels.shape, loaded.read(inferred, detector.Wanted(thresholds)).detections))
    (whole, expected), (part, detections) = found
    assert part[0] * 2 <= whole[0]
    assert [one.label for one in detections] == [one.label for one in expected] == ["cat"]
    # A hundredth of the picture's width: the pixels were averaged in another way.
    assert np.allclose(detections[0].box, expected[0].box, atol=large.width / 100)
    assert abs(detections[0].score - expected[0].score) < 0.05


def test_only_wanted_classes_count() -> None:
    """Detections of other labels are left out; without a choice all are reported."""
    candidates = base.Candidates(
        np.array([[0, 0, 5, 5], [10, 10, 15, 15]], np.float32),
        np.array([0.9, 0.8], np.float32),
        np.array([0, 1]),
    )
    _, geometry = preprocess.prepare_input(np.zeros((20, 20, 3), np.uint8), SPEC)
    limits = card.Thresholds(0.5, 0.5, 10)

    def labels(*classes: str) -> list[str]:
        found = postprocess.select_detections(
            candidates, geometry, limits, ["cat", "dog"], suppress=True, classes=classes
        )
        return [one.label for one in found]

    assert labels() == ["cat", "dog"]
    assert labels("dog") == ["dog"]
    assert labels("horse") == []
