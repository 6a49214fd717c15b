"""Every output family: one object worked out by hand, and a reference in plain loops."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from numpy.typing import NDArray
from object_detection import card, detector, families
from object_detection.errors import ModelError
from object_detection.families import base
from onnx import helper, numpy_helper
from PIL import Image
from plain_reference import REFERENCES, Frame, Outputs

SIZE = 64
NETWORK = base.Network(3, SIZE, SIZE)
UNCHANGED = {"divide": 1, "mean": [0, 0, 0], "std": [1, 1, 1]}
IMAGENET = {"divide": 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
NANODET = {"divide": 1, "mean": [103.53, 116.28, 123.675], "std": [57.375, 57.12, 58.395]}
# How pictures usually enter the networks of a family, beyond RGB / 255 in a centred letterbox.
INPUTS: dict[str, dict[str, Any]] = {
    "ultralytics_rtdetr": {"resize": "stretch"},
    "ultralytics_rtdetr_scores": {"resize": "stretch"},
    "yolox": {"resize": "letterbox_top_left", "colour": "BGR", **UNCHANGED},
    "yolox_decoded": {"resize": "letterbox_top_left", "colour": "BGR", **UNCHANGED},
    "ssd_mobilenet": {"resize": "stretch", "layout": "NHWC", "type": "uint8", **UNCHANGED},
    "detr": {"resize": "stretch", **IMAGENET},
    "rt_detr": {"resize": "stretch"},
    "rf_detr": {"resize": "stretch", **IMAGENET},
    "torchvision": {"resize": "stretch", "layout": "CHW"},
    "nanodet": {"resize": "stretch", "colour": "BGR", **NANODET},
    "nanodet_plus": {"resize": "stretch", "colour": "BGR", **NANODET},
}


def rows(*shape: int, at: dict[Any, Any], fill: float = 0) -> NDArray[np.float32]:
    """Return an array of that shape with values in a few places."""
    found = np.full(shape, fill, np.float32)
    for place, value in at.items():
        found[place] = value
    return found


def bins(*distances: float) -> list[float]:
    """Return eight logits per distance, whose softmax has that distance as its mean."""
    logits = np.full((len(distances), 8), -100.0)
    for side, distance in enumerate(distances):
        low = math.floor(distance)
        part = distance - low
        logits[side, low] = math.log(1 - part)
        if part:
            logits[side, low + 1] = math.log(part)
    return list(logits.ravel())


# One object in an input of 64 by 64 pixels: x 16 to 48, y 24 to 44 (centre 32, 34; size 32, 20),
# class 1 of 3, score 0.9.
CENTRE = [32, 34, 32, 20]
SHARES = [0.5, 34 / 64, 0.5, 20 / 64]
SCORES = [0.1, 0.9, 0.2]
OBJECT_SCORES = [0.95, 0.1, 0.9 / 0.95, 0.2]
LOGITS = [-10, math.log(9), -10]
KNOWN: dict[str, Outputs] = {
    "ultralytics_v8": {"output0": rows(1, 7, 10, at={(0, ..., 3): CENTRE + SCORES})},
    "ultralytics_v5": {"output": rows(1, 10, 8, at={(0, 3): CENTRE + OBJECT_SCORES})},
    "ultralytics_end_to_end": {"output0": rows(1, 10, 6, at={(0, 0): [16, 24, 48, 44, 0.9, 1]})},
    "ultralytics_rtdetr": {"output0": rows(1, 10, 6, at={(0, 0): [*SHARES, 0.9, 1]})},
    "ultralytics_rtdetr_scores": {"output0": rows(1, 10, 7, at={(0, 0): SHARES + SCORES})},
    # The cell of stride 16 at column 2, row 2, after the 64 cells of stride 8.
    "yolox": {
        "output": rows(
            1, 84, 8, at={(0, 74): [0, 0.125, math.log(2), math.log(1.25), *OBJECT_SCORES]}
        )
    },
    "yolox_decoded": {"output": rows(1, 84, 8, at={(0, 74): CENTRE + OBJECT_SCORES})},
    "ssd_mobilenet": {
        "detection_boxes:0": rows(1, 5, 4, at={(0, 0): [24 / 64, 16 / 64, 44 / 64, 48 / 64]}),
        "detection_classes:0": rows(1, 5, at={(0, 0): 2}),
        # What lies beyond the number of detections does not count.
        "detection_scores:0": rows(1, 5, at={(0, 0): 0.9, (0, 1): 0.8}),
        "num_detections:0": rows(1, at={(0,): 1}),
    },
    "detr": {
        "logits": rows(
            1, 5, 4,
            at={(0, ..., 3): 20, (0, 2): [math.log(p) for p in (0.03, 0.9, 0.02, 0.05)]},
        ),
        "pred_boxes": rows(1, 5, 4, at={(0, 2): SHARES}),
    },
    "rt_detr": {
        "logits": rows(1, 5, 3, at={(0, 2): LOGITS}, fill=-10),
        "pred_boxes": rows(1, 5, 4, at={(0, 2): SHARES}),
    },
    "rf_detr": {
        "dets": rows(1, 5, 4, at={(0, 2): SHARES}),
        "labels": rows(1, 5, 3, at={(0, 2): LOGITS}, fill=-10),
    },
    "torchvision": {
        "boxes": rows(2, 4, at={(0,): [16, 24, 48, 44]}),
        "labels": np.array([2, 1], np.int64),
        "scores": rows(2, at={(0,): 0.9}),
    },
    # The cell of stride 8 at column 3, row 4, whose middle is 28, 36.
    "nanodet": {
        **{f"cls_pred_stride_{s}": rows(1, (64 // s) ** 2, 3, at={}) for s in (8, 16, 32)},
        **{f"dis_pred_stride_{s}": rows(1, (64 // s) ** 2, 32, at={}) for s in (8, 16, 32)},
        "cls_pred_stride_8": rows(1, 64, 3, at={(0, 35): SCORES}),
        "dis_pred_stride_8": rows(1, 64, 32, at={(0, 35): bins(1.5, 1.5, 2.5, 1)}),
    },
    # The same cell, measured from its corner 24, 32.
    "nanodet_plus": {
        "output": rows(1, 85, 35, at={(0, 35): SCORES + bins(1, 1, 3, 1.5)}),
    },
}  # fmt: skip
# Where that object lies in a picture of 128 by 64 pixels, as it entered the input.
IN_PICTURE = {
    "stretch": [32, 24, 96, 44],
    "letterbox": [32, 16, 96, 56],
    "letterbox_top_left": [32, 48, 96, 64],
}


def write_model(
    folder: Path, outputs: Outputs, changes: dict[str, Any], meta: dict[str, str] | None = None
) -> dict[str, Any]:
    """Write a network that answers every picture alike; return its card."""
    spec = {
        "name": "pixels", "layout": "NCHW", "colour": "RGB", "size": [SIZE, SIZE],
        "divide": 255, "mean": [0, 0, 0], "std": [1, 1, 1], "resize": "letterbox", "pad": 114,
        **changes,
    }  # fmt: skip
    shapes = {"NCHW": [1, 3, SIZE, SIZE], "NHWC": [1, SIZE, SIZE, 3], "CHW": [3, SIZE, SIZE]}
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(changes.get("type", "float32")))
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"known {name}"], [name]) for name in outputs],
        "known",
        [helper.make_tensor_value_info("pixels", kind, shapes[str(spec["layout"])])],
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in outputs.items()
        ],
        [numpy_helper.from_array(value, f"known {name}") for name, value in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, meta or {})
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    (folder / "known.onnx").write_bytes(data)
    return {
        "format": "verge.card/1", "name": "known", "version": "1", "file": "known.onnx",
        "sha256": hashlib.sha256(data).hexdigest(), "input": spec,
        "thresholds": {"score": 0.5, "iou": 0.5, "max_detections": 10},
    }  # fmt: skip


def load(folder: Path, document: dict[str, Any]) -> detector.Detector:
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return detector.Detector.load(path)


def test_every_family_has_a_known_answer() -> None:
    """No family goes without the tests below."""
    assert list(KNOWN) == list(families.FAMILIES)
    assert set(REFERENCES) == set(families.FAMILIES)


@pytest.mark.parametrize("name", KNOWN)
def test_finds_the_known_object(name: str, tmp_path: Path) -> None:
    """From a file through a real session, the object comes out where it is in the picture."""
    document = write_model(tmp_path, KNOWN[name], INPUTS.get(name, {}))
    document |= {"output": {"family": name}, "labels": ["nut", "bolt", "washer"]}
    loaded = load(tmp_path, document)
    Image.new("RGB", (128, 64), (200, 100, 50)).save(tmp_path / "picture.png")
    thresholds = loaded.thresholds(None, None)
    found = loaded.analyse(str(tmp_path / "picture.png"), 10**6, thresholds).detections
    assert [(entry.label, entry.class_id) for entry in found] == [("bolt", 1)]
    assert found[0].score == pytest.approx(0.9, abs=1e-3)
    expected = IN_PICTURE[document["input"]["resize"]]
    assert np.abs(np.array(found[0].box) - expected).max() <= 0.2
    assert loaded.family == name


HALVES = [name for name in KNOWN if INPUTS.get(name, {}).get("type") != "uint8"]


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("stated", [True, False], ids=["in the card", "by the model alone"])
def test_finds_the_known_object_in_half_precision(name: str, stated: bool, tmp_path: Path) -> None:
    """A network of float16 from input to outputs gives the same boxes, whether the card says so."""
    outputs = {
        key: value.astype(np.float16) if value.dtype.kind == "f" else value
        for key, value in KNOWN[name].items()
    }
    document = write_model(tmp_path, outputs, INPUTS.get(name, {}) | {"type": "float16"})
    document |= {"output": {"family": name}, "labels": ["nut", "bolt", "washer"]}
    if not stated:
        del document["input"]["type"]
    loaded = load(tmp_path, document)
    assert loaded.card.input.type == "float16"
    Image.new("RGB", (128, 64), (200, 100, 50)).save(tmp_path / "picture.png")
    thresholds = loaded.thresholds(None, None)
    found = loaded.analyse(str(tmp_path / "picture.png"), 10**6, thresholds).detections
    assert [(entry.label, entry.class_id) for entry in found] == [("bolt", 1)]
    assert found[0].score == pytest.approx(0.9, abs=2e-3)
    expected = IN_PICTURE[document["input"]["resize"]]
    assert np.abs(np.array(found[0].box) - expected).max() <= 1


def random_outputs(name: str, seed: int) -> Outputs:
    """Return outputs in the shapes of the known ones, full of numbers from 0 to 1."""
    random = np.random.default_rng(seed)
    found: Outputs = {}
    for key, value in KNOWN[name].items():
        if value.dtype == np.int64 or "classes" in key:
            found[key] = random.integers(1, 4, value.shape).astype(value.dtype)
        else:
            found[key] = random.random(value.shape, dtype=np.float32)
    if "num_detections:0" in found:
        found["num_detections:0"][:] = 4
    if value.shape[-1] == 6:
        value = found[key]
        value[..., 5] = random.integers(0, 3, value.shape[:-1])
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", REFERENCES)
def test_agrees_with_the_reference(name: str, seed: int) -> None:
    """Whatever the numbers, boxes are within a pixel of the reference, classes and scores equal."""
    outputs = random_outputs(name, seed)
    least = 0.3
    found = families.FAMILIES[name].read(outputs, NETWORK, least)
    frame = Frame(SIZE, SIZE, NETWORK.classes)
    expected = [entry for entry in REFERENCES[name](outputs, frame) if entry[1] >= least]
    assert expected
    assert found.classes.tolist() == [kind for kind, _, _ in expected]
    assert found.scores == pytest.approx([score for _, score, _ in expected], abs=1e-5)
    assert np.abs(found.boxes - np.array([box for _, _, box in expected])).max() <= 1


@pytest.mark.parametrize("name", KNOWN)
def test_reads_an_output_without_objects(name: str) -> None:
    """No candidate above the threshold is no candidate, in every family."""
    found = families.FAMILIES[name].read(KNOWN[name], NETWORK, 0.99)
    assert (found.boxes.shape, found.scores.shape, found.classes.shape) == ((0, 4), (0,), (0,))


@pytest.mark.parametrize("name", KNOWN)
def test_odd_numbers_are_no_objects(name: str) -> None:
    """Scores that are not numbers do not become candidates."""
    outputs = {
        key: value if value.dtype == np.int64 else np.full_like(value, np.nan)
        for key, value in KNOWN[name].items()
    }
    assert not families.FAMILIES[name].read(outputs, NETWORK, 0.1).scores.size


def test_a_size_beyond_all_bounds_is_no_warning() -> None:
    """A huge exponent gives an infinite box, which the next stage leaves out."""
    output = rows(1, 84, 8, at={(0, 0): [0, 0, 1000, 1000, 0.9, 0.9, 0, 0]})
    found = families.FAMILIES["yolox"].read({"output": output}, NETWORK, 0.5)
    assert not np.isfinite(found.boxes).any()


def test_torchvision_outputs_need_no_names() -> None:
    """An export that numbered its outputs is read all the same: shape and type tell them apart."""
    known = KNOWN["torchvision"]
    numbered = {"12": known["scores"], "7": known["labels"], "9": known["boxes"]}
    _, family = families.choose_family("torchvision", (), numbered, NETWORK)
    found = family.read(numbered, NETWORK, 0.5)
    assert (found.boxes.tolist(), found.classes.tolist()) == ([[16, 24, 48, 44]], [1])


def test_the_background_of_rf_detr_is_no_class() -> None:
    """A last column beyond the labels, however sure, is never an object."""
    labels = rows(1, 5, 4, at={(0, 2): [-10, 1, -10, 9], (0, 4): [-10, -10, -10, 9]}, fill=-10)
    outputs = {"dets": KNOWN["rf_detr"]["dets"], "labels": labels}
    _, family = families.choose_family("rf_detr", (), outputs, NETWORK)
    found = family.read(outputs, NETWORK, 0.5)
    assert found.classes.tolist() == [1]
    assert found.scores == pytest.approx([1 / (1 + math.exp(-1))])


def zeros(**shapes: tuple[int, ...]) -> Outputs:
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("outputs", "choices"),
    [
        pytest.param(zeros(o=(1, 7, 21)), "ultralytics_v8", id="one choice is still not a guess"),
        pytest.param(
            zeros(o=(1, 300, 6)), "ultralytics_end_to_end, ultralytics_rtdetr", id="rows of six"
        ),
        pytest.param(
            zeros(o=(1, 84, 8)), "ultralytics_v5, yolox, yolox_decoded", id="rows with objectness"
        ),
        pytest.param(zeros(logits=(1, 9, 4), pred_boxes=(1, 9, 4)), "detr", id="queries"),
    ],
)
def test_lists_the_choices(outputs: Outputs, choices: str) -> None:
    """Without a name the families that fit are offered, and none is taken."""
    with pytest.raises(ModelError) as caught:
        families.choose_family(None, (), outputs, NETWORK)
    assert str(caught.value).endswith(f"set output/family to one of: {choices}")


def test_says_that_the_labels_may_be_wrong() -> None:
    """Where nothing fits, the number of labels is the first suspect."""
    with pytest.raises(ModelError, match=r"fits o \[1, 84, 21\] with nc = 3 labels; correct"):
        families.choose_family(None, (), zeros(o=(1, 84, 21)), NETWORK)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("yolo", r"'yolo' is unknown; the choices are: ultralytics_v8, ", id="unknown"),
        *(
            pytest.param(name, rf"the output family {name} wants .* with nc = 3", id=name)
            for name in families.FAMILIES
        ),
    ],
)
def test_refuses_a_family_that_does_not_fit(name: str, message: str) -> None:
    """A family that is unknown or contradicted by the outputs is refused."""
    with pytest.raises(ModelError, match=message):
        families.choose_family(name, (), zeros(o=(1, 5, 5)), NETWORK)


ULTRALYTICS = {
    "names": "{0: 'nut', 1: 'bolt', 2: 'washer'}", "stride": "32", "imgsz": "[64, 64]",
    "task": "detect",
}  # fmt: skip


@pytest.mark.parametrize(
    ("known", "meta", "family"),
    [
        pytest.param(
            "ultralytics_v8", {"head": "Detect", "end2end": "False"}, "ultralytics_v8", id="v8"
        ),
        pytest.param("ultralytics_v8", {}, "ultralytics_v8", id="v8 of an older export"),
        pytest.param(
            "ultralytics_end_to_end", {"end2end": "True"}, "ultralytics_end_to_end", id="end to end"
        ),
        pytest.param(
            "ultralytics_end_to_end",
            {"head": "Detect", "end2end": "False", "args": "{'batch': 1, 'nms': True}"},
            "ultralytics_end_to_end",
            id="exported with suppression",
        ),
        pytest.param(
            "ultralytics_rtdetr", {"head": "RTDETRDecoder"}, "ultralytics_rtdetr", id="RT-DETR"
        ),
        pytest.param(
            "ultralytics_rtdetr_scores",
            {"head": "RTDETRDecoder"},
            "ultralytics_rtdetr_scores",
            id="RT-DETR with scores",
        ),
    ],
)
def test_the_metadata_names_the_family(
    known: str, meta: dict[str, str], family: str, tmp_path: Path
) -> None:
    """What an export says about itself need not stand in the card: family and labels."""
    loaded = load(tmp_path, write_model(tmp_path, KNOWN[known], {}, ULTRALYTICS | meta))
    assert loaded.family == family
    assert loaded.card.labels == ("nut", "bolt", "washer")


@pytest.mark.parametrize(
    ("known", "meta", "changes", "message"),
    [
        pytest.param(
            "ultralytics_rtdetr",
            {},
            {},
            "one of: ultralytics_end_to_end, ultralytics_rtdetr$",
            id="ambiguous",
        ),
        pytest.param(
            "ultralytics_v8", {"task": "segment"}, {}, "its task is segment, not detect", id="task"
        ),
        pytest.param(
            "ultralytics_v8", {"names": "__import__('os').getcwd()"}, {}, "no texts", id="code"
        ),
        pytest.param("ultralytics_v8", {"names": "(" * 5000}, {}, "no texts", id="deep"),
        pytest.param(
            "ultralytics_v8", {"names": " " * 1_000_001 + "['a']"}, {}, "no texts", id="long"
        ),
        pytest.param("ultralytics_v8", {"names": "{0: 'a', 2: 'b'}"}, {}, "no texts", id="gap"),
        pytest.param("ultralytics_v8", {"names": "[1, 2]"}, {}, "no texts", id="numbers"),
        pytest.param(
            "ultralytics_v8",
            {},
            {"labels": ["nut"]},
            "card has 1 labels, its metadata has 3 names",
            id="labels differ",
        ),
    ],
)
def test_metadata_that_does_not_settle_it_is_refused(
    known: str, meta: dict[str, str], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """Ambiguous, contradictory and hostile metadata end in one sentence, not in a guess."""
    document = write_model(tmp_path, KNOWN[known], {}, ULTRALYTICS | meta)
    with pytest.raises(ModelError, match=message) as caught:
        load(tmp_path, document | changes)
    assert "\n" not in str(caught.value)


def test_the_original_yolov5_is_not_taken_for_another(tmp_path: Path) -> None:
    """Names and a stride without a task do not say how boxes are written."""
    meta = {key: ULTRALYTICS[key] for key in ("names", "stride")}
    document = write_model(tmp_path, KNOWN["ultralytics_v5"], {}, meta)
    with pytest.raises(ModelError, match=r"one of: ultralytics_v5, yolox_decoded$"):
        load(tmp_path, document)


def test_labels_must_come_from_somewhere(tmp_path: Path) -> None:
    """A model without metadata needs the labels of its card."""
    document = write_model(tmp_path, KNOWN["ultralytics_v8"], {})
    with pytest.raises(ModelError, match="neither its card nor its metadata has labels"):
        load(tmp_path, document)


def test_the_card_has_the_last_word(tmp_path: Path) -> None:
    """A family in the card is taken, whatever the metadata says."""
    document = write_model(tmp_path, KNOWN["ultralytics_end_to_end"], {}, ULTRALYTICS)
    document["output"] = {"family": "ultralytics_rtdetr"}
    assert load(tmp_path, document).family == "ultralytics_rtdetr"
    assert card.read_card(tmp_path / "model.yaml").labels == ()
