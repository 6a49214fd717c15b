"""What each output family means, in plain loops that share nothing with the detector."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Outputs = dict[str, NDArray[Any]]
Found = tuple[int, float, list[float]]
"""Class, score, and x1, y1, x2, y2."""


@dataclass(frozen=True)
class Frame:
    """The input of a network."""

    width: int
    height: int
    classes: int


def from_centre(box: list[float], frame: Frame | None = None) -> list[float]:
    """Return the corners; boxes from 0 to 1 become pixels of the frame."""
    x, y, w, h = box
    across, down = (frame.width, frame.height) if frame else (1, 1)
    return [(x - w / 2) * across, (y - h / 2) * down, (x + w / 2) * across, (y + h / 2) * down]


def cells(frame: Frame, strides: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Yield column, row and stride of each cell in the order of the outputs."""
    for stride in strides:
        for row in range(math.ceil(frame.height / stride)):
            for column in range(math.ceil(frame.width / stride)):
                yield column, row, stride


def top(scores: list[float]) -> tuple[int, float]:
    return scores.index(max(scores)), max(scores)


def rows_of(outputs: Outputs) -> NDArray[np.float64]:
    [output] = outputs.values()
    return output[0].astype(np.float64)


def named(outputs: Outputs, name: str) -> NDArray[Any]:
    [found] = [value for key, value in outputs.items() if key.split(":")[0] == name]
    return found


def read_v8(outputs: Outputs, frame: Frame) -> Iterator[Found]:
    for column in rows_of(outputs).T.tolist():
        yield *top(column[4:]), from_centre(column[:4])


def read_objectness(outputs: Outputs, frame: Frame) -> Iterator[Found]:
    for row in rows_of(outputs).tolist():
        yield *top([row[4] * score for score in row[5:]]), from_centre(row[:4])


def read_end_to_end(outputs: Outputs, frame: Frame) -> Iterator[Found]:
    for row in rows_of(outputs).tolist():
        yield int(row[5]), row[4], row[:4]


def read_rtdetr(outputs: Outputs, frame: Frame) -> Iterator[Found]:
    for row in rows_of(outputs).tolist():
        yield int(row[5]), row[4], from_centre(row[:4], frame)


def read_rtdetr_scores(outputs: Outputs, frame: Frame) -> Iterator[Found]:
    for row in rows_of(outputs).tolist():
        yield *top(row[4:]), from_centre(row[:4], frame)


def read_yolox(outputs: Outputs, frame: Frame) -> Iterator[Found]:
    output = rows_of(outputs).tolist()
    for (column, line, stride), row in zip(cells(frame, (8, 16, 32)), output, strict=True):
        x, y = (row[0] + column) * stride, (row[1] + line) * stride
        box = from_centre([x, y, math.exp(row[2]) * stride, math.exp(row[3]) * stride])
        yield *top([row[4] * score for score in row[5:]]), box


def read_ssd(outputs: Outputs, frame: Frame) -> Iterator[Found]:
    for number in range(int(named(outputs, "num_detections").ravel()[0])):
        y1, x1, y2, x2 = named(outputs, "detection_boxes")[0, number].tolist()
        kind = int(named(outputs, "detection_classes")[0, number]) - 1
        score = float(named(outputs, "detection_scores")[0, number])
        width, height = frame.width, frame.height
        yield kind, score, [x1 * width, y1 * height, x2 * width, y2 * height]


def read_detr(outputs: Outputs, frame: Frame) -> Iterator[Found]:
    boxes = named(outputs, "pred_boxes")[0].tolist()
    for logits, box in zip(named(outputs, "logits")[0].tolist(), boxes, strict=True):
        total = sum(math.exp(value) for value in logits)
        scores = [math.exp(value) / total for value in logits]
        yield *top(scores[:-1]), from_centre(box, frame)


def read_queries(logits: str, boxes: str) -> Callable[[Outputs, Frame], Iterator[Found]]:
    def read(outputs: Outputs, frame: Frame) -> Iterator[Found]:
        places = named(outputs, boxes)[0].tolist()
        for row, box in zip(named(outputs, logits)[0].tolist(), places, strict=True):
            scores = [1 / (1 + math.exp(-value)) for value in row[: frame.classes]]
            yield *top(scores), from_centre(box, frame)

    return read


def read_torchvision(outputs: Outputs, frame: Frame) -> Iterator[Found]:
    """Tell the three outputs apart by what they hold: only boxes have columns, labels are whole."""
    [boxes] = [value for value in outputs.values() if value.ndim == 2]
    [labels] = [value for value in outputs.values() if value.dtype.kind == "i"]
    [scores] = [value for value in outputs.values() if value.ndim == 1 and value.dtype.kind == "f"]
    for box, label, score in zip(boxes.tolist(), labels.tolist(), scores.tolist(), strict=True):
        yield label - 1, score, box


def measure(sides: list[float], x: float, y: float, stride: int) -> list[float]:
    bins = len(sides) // 4
    distances = []
    for side in range(4):
        logits = sides[side * bins : (side + 1) * bins]
        total = sum(math.exp(value) for value in logits)
        mean = sum(step * math.exp(value) / total for step, value in enumerate(logits))
        distances.append(mean * stride)
    left, above, right, below = distances
    return [x - left, y - above, x + right, y + below]


def read_nanodet(outputs: Outputs, frame: Frame) -> Iterator[Found]:
    for stride in (8, 16, 32):
        scores = named(outputs, f"cls_pred_stride_{stride}")[0].tolist()
        sides = named(outputs, f"dis_pred_stride_{stride}")[0].tolist()
        for (column, line, _), row, distances in zip(
            cells(frame, (stride,)), scores, sides, strict=True
        ):
            x, y = (column + 0.5) * stride, (line + 0.5) * stride
            yield *top(row), measure(distances, x, y, stride)


def read_nanodet_plus(outputs: Outputs, frame: Frame) -> Iterator[Found]:
    output = rows_of(outputs).tolist()
    for (column, line, stride), row in zip(cells(frame, (8, 16, 32, 64)), output, strict=True):
        box = measure(row[frame.classes :], column * stride, line * stride, stride)
        yield *top(row[: frame.classes]), box


REFERENCES: dict[str, Callable[[Outputs, Frame], Iterator[Found]]] = {
    "ultralytics_v8": read_v8,
    "ultralytics_v5": read_objectness,
    "ultralytics_end_to_end": read_end_to_end,
    "ultralytics_rtdetr": read_rtdetr,
    "ultralytics_rtdetr_scores": read_rtdetr_scores,
    "yolox": read_yolox,
    "yolox_decoded": read_objectness,
    "ssd_mobilenet": read_ssd,
    "detr": read_detr,
    "rt_detr": read_queries("logits", "pred_boxes"),
    "rf_detr": read_queries("labels", "dets"),
    "torchvision": read_torchvision,
    "nanodet": read_nanodet,
    "nanodet_plus": read_nanodet_plus,
}
OVERLAPPING = {
    *("ultralytics_v8", "ultralytics_v5", "yolox", "yolox_decoded", "nanodet", "nanodet_plus")
}
"""Families whose outputs still hold several boxes for one object."""


def overlap(first: list[float], second: list[float]) -> float:
    """Return the intersection of two boxes over their union."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    areas = [max(box[2] - box[0], 0) * max(box[3] - box[1], 0) for box in (first, second)]
    union = sum(areas) - shared
    return shared / union if union > 0 else 0


def suppress(found: list[Found], iou: float) -> list[Found]:
    """Keep, best first, what overlaps no better one of its class."""
    kept: list[Found] = []
    for entry in sorted(found, key=lambda entry: -entry[1]):
        if all(entry[0] != other[0] or overlap(entry[2], other[2]) <= iou for other in kept):
            kept.append(entry)
    return kept


def is_seen(box: list[float]) -> bool:
    """Return whether there is something of a box after it was clipped to the picture."""
    return box[0] < box[2] and box[1] < box[3]


def to_picture(
    box: list[float], frame: Frame, picture: tuple[int, int], resize: str
) -> list[float]:
    """Map a box from the input to a picture of that width and height, and clip it."""
    sizes = list(picture)
    inner = [frame.width, frame.height]
    if resize != "stretch":
        ratio = min(frame.width / sizes[0], frame.height / sizes[1])
        inner = [round(size * ratio) for size in sizes]
    spare = [frame.width - inner[0], frame.height - inner[1]]
    start = [room // 2 if resize == "letterbox" else 0 for room in spare]
    return [
        min(max((value - start[axis % 2]) * sizes[axis % 2] / inner[axis % 2], 0), sizes[axis % 2])
        for axis, value in enumerate(box)
    ]
