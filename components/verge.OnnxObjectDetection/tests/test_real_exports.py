"""Detectors that their own packages export, read as a plain reference reads them.

The packages are heavy and stay out of the lock: exports/README.md says how to install them. Two
small exports are committed.
"""

import functools
import hashlib
import itertools
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import plain_reference
import pytest
import yaml
from object_detection import detector
from object_detection.errors import ModelError

EXPORTS = Path(__file__).parent / "exports"
REPOSITORY = Path(__file__).parents[3]
ENVIRONMENT = Path(os.environ.get("VERGE_EXPORTS", REPOSITORY / ".verge" / "exports"))
PYTHON = ENVIRONMENT / "bin" / "python"
PICTURES = ("chelsea.png", "astronaut.png")
MOST_CANDIDATES = 120
LEAST_OBJECTS = 5
IOU = 0.5
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
WIDE = (160, 96)

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Export:
    """One exported detector, and what its card has to say."""

    package: str
    name: str
    family: str
    size: tuple[int, int] = WIDE
    classes: int = 0
    """Labels that the card lists; 0: the metadata of the model has them, and the family."""
    input: dict[str, Any] = field(default_factory=dict)
    batch: int = 1

    def __str__(self) -> str:
        return f"{self.package}-{self.name}"


STRETCH = {"resize": "stretch"}
TORCHVISION = {"name": "image", "layout": "CHW", **STRETCH}
TRANSFORMERS = {"name": "pixel_values", **STRETCH}
YOLOX = {"colour": "BGR", "divide": 1, "resize": "letterbox_top_left"}
BY_METADATA = [
    Export("ultralytics", "v8", "ultralytics_v8"),
    Export("ultralytics", "v8_any_batch", "ultralytics_v8", batch=4),
    Export("ultralytics", "v8_half", "ultralytics_v8"),
    Export("ultralytics", "v8_half_inside", "ultralytics_v8"),
    Export("ultralytics", "v8_suppressed", "ultralytics_end_to_end"),
    Export("ultralytics", "v5u", "ultralytics_v8"),
    Export("ultralytics", "v10", "ultralytics_v8"),
    Export("ultralytics", "v10_end_to_end", "ultralytics_end_to_end"),
    Export("ultralytics", "v11", "ultralytics_v8"),
    Export("ultralytics", "v26", "ultralytics_v8"),
    Export("ultralytics", "v26_end_to_end", "ultralytics_end_to_end"),
    Export("ultralytics", "rtdetr", "ultralytics_rtdetr", input=STRETCH),
]
BY_CARD = [
    Export("nudenet", "320n", "ultralytics_v8", (320, 320), batch=4),
    Export("yolov5", "v5", "ultralytics_v5", classes=80),
    Export("yolox", "raw", "yolox", classes=5, input=YOLOX, batch=4),
    Export("yolox", "decoded", "yolox_decoded", classes=5, input=YOLOX, batch=4),
    Export("torchvision", "ssdlite", "torchvision", classes=3, input=TORCHVISION),
    Export("torchvision", "ssdlite_unnamed", "torchvision", classes=3, input=TORCHVISION),
    Export("torchvision", "faster_rcnn", "torchvision", classes=3, input=TORCHVISION),
    Export("torchvision", "retinanet", "torchvision", classes=3, input=TORCHVISION),
    Export("transformers", "detr", "detr", classes=5, input=TRANSFORMERS | IMAGENET),
    Export("transformers", "rt_detr", "rt_detr", classes=5, input=TRANSFORMERS),
    Export("transformers", "d_fine", "rt_detr", classes=5, input=TRANSFORMERS),
]
COMMITTED = [
    Export("models", "transformers_detr", "detr", classes=5, input=TRANSFORMERS | IMAGENET),
    Export("models", "torchvision_faster_rcnn", "torchvision", classes=3, input=TORCHVISION),
]
EVERY = COMMITTED + BY_METADATA + BY_CARD


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that lets a package export its detectors, once, and names the folder."""

    @functools.cache
    def export(package: str) -> Path:
        if package == COMMITTED[0].package:
            return EXPORTS / package
        looked = [PYTHON, "-c", f"import {package}"]
        if not PYTHON.is_file() or subprocess.run(looked, capture_output=True).returncode:
            pytest.skip(f"{package} is not installed in {ENVIRONMENT}: see exports/README.md")
        folder = tmp_path_factory.mktemp(package)
        script = EXPORTS / f"export_{package}.py"
        offline = {"YOLO_CONFIG_DIR": str(folder), "YOLO_OFFLINE": "true", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [PYTHON, script, folder],
            env=os.environ | offline,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return folder

    return export


def write_card(export: Export, model: Path, folder: Path, **changes: Any) -> Path:
    """Write the card that describes an export, beside a link to it."""
    (folder / "model.onnx").symlink_to(model)
    document = {
        "format": "verge.card/1", "name": str(export), "version": "1", "file": "model.onnx",
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "input": {
            "name": "images", "layout": "NCHW", "colour": "RGB", "size": list(export.size),
            "divide": 255, "mean": [0, 0, 0], "std": [1, 1, 1], "resize": "letterbox",
            "pad": 114, **export.input,
        },
        "thresholds": {"score": 0.5, "iou": IOU, "max_detections": 1000},
    }  # fmt: skip
    if export.classes:
        document["labels"] = [f"class {number}" for number in range(export.classes)]
        document["output"] = {"family": export.family}
    card = folder / "model.yaml"
    card.write_text(yaml.safe_dump(document | changes), encoding="utf-8")
    return card


def run(model: Path, tensor: Any) -> plain_reference.Outputs:
    """Run a model as anybody would."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    [picture] = session.get_inputs()
    return dict(zip(names, session.run(names, {picture.name: tensor}), strict=True))


def choose_threshold(scores: list[float]) -> float:
    """Return the middle of the widest gap between the best candidates and the others.

    So that no difference in rounding lets one more through, or one less.
    """
    ranks = sorted(set(scores), reverse=True)[: MOST_CANDIDATES + 1]
    gaps = [high - low for high, low in itertools.pairwise(ranks)]
    enough = len(gaps) // 2
    widest = enough + int(np.argmax(gaps[enough:]))
    return (ranks[widest] + ranks[widest + 1]) / 2


def find_expected(
    export: Export, outputs: plain_reference.Outputs, classes: int, picture: tuple[int, int]
) -> tuple[float, list[plain_reference.Found]]:
    """Return a threshold and what a plain reading of the outputs finds in the picture with it."""
    frame = plain_reference.Frame(*export.size, classes)
    resize = export.input.get("resize", "letterbox")
    found = list(plain_reference.REFERENCES[export.family](outputs, frame))
    threshold = choose_threshold([score for kind, score, _ in found if 0 <= kind < classes])
    found = [
        (kind, score, box)
        for kind, score, box in found
        if score >= threshold
        and 0 <= kind < classes
        and plain_reference.is_seen(plain_reference.to_picture(box, frame, picture, resize))
    ]
    if export.family in plain_reference.OVERLAPPING:
        found = plain_reference.suppress(found, IOU)
    return threshold, [
        (kind, score, plain_reference.to_picture(box, frame, picture, resize))
        for kind, score, box in found
    ]


def assert_alike(found: list[Any], expected: list[plain_reference.Found]) -> None:
    """Every object has its equal: the same class and score, and a box within a pixel."""
    assert len(found) == len(expected) >= LEAST_OBJECTS
    left = list(expected)
    for entry in found:
        distances = [
            np.abs(np.array(entry.box) - box).max()
            if kind == entry.class_id and abs(score - entry.score) <= 1e-3
            else np.inf
            for kind, score, box in left
        ]
        nearest = int(np.argmin(distances))
        assert distances[nearest] <= 1, f"{entry} is not among {left}"
        del left[nearest]


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("export", EVERY, ids=str)
def test_boxes_agree_with_a_plain_reading(
    export: Export, picture: str, exported: Any, pictures: Path, tmp_path: Path
) -> None:
    """In the pixels of a real picture, every box of a real export is within a pixel."""
    model = exported(export.package) / f"{export.name}.onnx"
    loaded = detector.Detector.load(write_card(export, model, tmp_path))
    assert loaded.family == export.family
    assert loaded.batch == export.batch
    prepared = loaded.prepare(str(pictures / picture), 10**8)
    size = prepared.picture.width, prepared.picture.height
    outputs = run(model, prepared.tensor)
    threshold, expected = find_expected(export, outputs, len(loaded.card.labels), size)
    wanted = detector.Wanted(loaded.thresholds(threshold, None))
    [alone] = loaded.infer([prepared])
    assert_alike(loaded.read(alone, wanted).detections, expected)


@pytest.mark.parametrize("export", [export for export in EVERY if export.batch > 1], ids=str)
def test_pictures_together_are_as_alone(
    export: Export, exported: Any, pictures: Path, tmp_path: Path
) -> None:
    """An export with an open batch dimension finds in each picture what it finds in it alone."""
    model = exported(export.package) / f"{export.name}.onnx"
    loaded = detector.Detector.load(write_card(export, model, tmp_path))
    prepared = [loaded.prepare(str(pictures / name), 10**8) for name in PICTURES]
    together = loaded.infer(prepared)
    for one, among in zip(prepared, together, strict=True):
        [alone] = loaded.infer([one])
        for name, value in alone.outputs.items():
            np.testing.assert_allclose(among.outputs[name], value, rtol=1e-3, atol=1e-3)


YOLOV5, RAW, DECODED = (
    next(export for export in BY_CARD if export.name == name) for name in ("v5", "raw", "decoded")
)
DETR, RT_DETR, SSDLITE = (
    next(export for export in BY_CARD if export.name == name)
    for name in ("detr", "rt_detr", "ssdlite")
)


@pytest.mark.parametrize(
    ("export", "choices"),
    [
        pytest.param(YOLOV5, "ultralytics_v5, yolox_decoded", id="yolov5"),
        pytest.param(RAW, "ultralytics_v5, yolox, yolox_decoded", id="yolox raw"),
        pytest.param(DECODED, "ultralytics_v5, yolox, yolox_decoded", id="yolox decoded"),
        pytest.param(DETR, "detr", id="detr"),
        pytest.param(RT_DETR, "rt_detr", id="rt_detr"),
        pytest.param(SSDLITE, "torchvision", id="torchvision"),
    ],
)
def test_a_card_without_a_family_is_offered_those_that_fit(
    export: Export, choices: str, exported: Any, tmp_path: Path
) -> None:
    """What neither the card nor the export says is not guessed, and the choices are few."""
    model = exported(export.package) / f"{export.name}.onnx"
    card = write_card(export, model, tmp_path, output={})
    with pytest.raises(ModelError, match=f"set output/family to one of: {choices}$"):
        detector.Detector.load(card)


def test_another_task_is_refused(exported: Any, tmp_path: Path) -> None:
    """A network that segments says so itself."""
    export = Export("ultralytics", "v8_segmentation", "ultralytics_v8")
    model = exported(export.package) / f"{export.name}.onnx"
    with pytest.raises(ModelError, match="its task is segment, not detect; export a detector"):
        detector.Detector.load(write_card(export, model, tmp_path))
