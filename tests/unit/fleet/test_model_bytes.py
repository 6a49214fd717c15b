"""Moving the scaling of pictures into a network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import TensorProto, helper

from tests.unit.fleet import samples
from verge.fleet import errors, model_bytes, models, project

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "components" / "verge.ScratchModel" / "model"
SHAPES = {"NCHW": (1, 3, 4, 5), "NHWC": (1, 4, 5, 3), "CHW": (3, 4, 5)}
CHANNELS = {"NCHW": (1, 3, 1, 1), "NHWC": (3,), "CHW": (3, 1, 1)}


@pytest.fixture
def where(tmp_path: Path) -> project.Project:
    """Return a checkout with the detector and the pictures that ship."""
    return samples.make_project_with_detector(tmp_path / "checkout")


@pytest.fixture
def card(where: project.Project) -> Path:
    """Return the card of a model that takes fractions, both to be changed."""
    folder = where.root / "model"
    shutil.copytree(MODEL, folder)
    return folder / "model.yaml"


def detect(file: Path, values: Any) -> Any:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: values})[0]


def test_the_network_finds_the_same(where: project.Project, card: Path) -> None:
    """What a network makes of bytes is what it made of the fractions they stand for."""
    file = card.parent / "scratch-480x320.onnx"
    picture = np.random.default_rng(1).integers(0, 256, (1, 3, 320, 480)).astype(np.uint8)
    before = detect(file, picture.astype(np.float32) / 255)
    assert model_bytes.take_bytes(where, card) == card
    np.testing.assert_allclose(detect(file, picture), before, rtol=1e-3, atol=1e-3)


def test_the_card_says_so(where: project.Project, card: Path) -> None:
    """The card describes the new network, keeps its promises and all else, comments included."""
    before = yaml.safe_load(card.read_text(encoding="utf-8"))
    model_bytes.take_bytes(where, card.parent / "scratch-480x320.onnx")
    text = card.read_text(encoding="utf-8")
    after = yaml.safe_load(text)
    assert text.startswith("# The card of the model")
    assert after.pop("input") == before.pop("input") | {"type": "uint8", "divide": 1}
    assert after.pop("sha256") != before.pop("sha256")
    assert after == before
    assert models.check_model(where, card).missed == ()


def test_bytes_are_taken_once(where: project.Project, card: Path) -> None:
    """A network that takes bytes already is left alone."""
    model_bytes.take_bytes(where, card)
    before = card.read_bytes()
    with pytest.raises(errors.FleetError, match="takes bytes already"):
        model_bytes.take_bytes(where, card)
    assert card.read_bytes() == before


@pytest.mark.parametrize(
    ("former", "new", "message"),
    [
        pytest.param("score: 0.75", "score: 0.999", "misses what the card promises", id="promise"),
        pytest.param(
            "  mean: [0, 0, 0]\n", "  mean:\n    [0, 0, 0]\n", "one key a line", id="two lines"
        ),
    ],
)
def test_what_cannot_be_changed_stays(
    where: project.Project, card: Path, former: str, new: str, message: str
) -> None:
    """Model and card are as they were if the card is broken or cannot be rewritten."""
    text = card.read_text(encoding="utf-8")
    assert former in text
    card.write_text(text.replace(former, new, 1), encoding="utf-8")
    before = {path.name: path.read_bytes() for path in card.parent.iterdir()}
    with pytest.raises(errors.FleetError, match=message):
        model_bytes.take_bytes(where, card)
    assert {path.name: path.read_bytes() for path in card.parent.iterdir()} == before


@pytest.mark.parametrize("layout", SHAPES)
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_scales_each_channel_as_the_card_says(tmp_path: Path, layout: str, kind: int) -> None:
    """Divisor, mean and deviation go into the network, in every layout and precision."""
    shape = SHAPES[layout]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["in"], ["out"])],
        "same",
        [helper.make_tensor_value_info("in", kind, shape)],
        [helper.make_tensor_value_info("out", kind, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(tmp_path / "m.onnx"))
    described = {"name": "in", "layout": layout, "divide": 255}
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    changed = model_bytes._change_network(
        tmp_path / "m.onnx", {**described, "mean": mean, "std": std}
    )
    (tmp_path / "m.onnx").write_bytes(changed)
    picture = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    by_channel = CHANNELS[layout]
    wanted = (picture / 255 - np.reshape(mean, by_channel)) / np.reshape(std, by_channel)
    precision = 1e-5 if kind == TensorProto.FLOAT else 2e-2
    np.testing.assert_allclose(detect(tmp_path / "m.onnx", picture), wanted, atol=precision)


def test_a_network_that_cannot_be_changed_is_refused(tmp_path: Path) -> None:
    """Where names of ours are taken in the network, that is said in one sentence."""
    shape = SHAPES["NCHW"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["in"], ["verge_bytes_scaled"])],
        "taken",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("verge_bytes_scaled", TensorProto.FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph), str(tmp_path / "m.onnx"))
    described = {"name": "in", "layout": "NCHW", "divide": 1, "mean": [0] * 3, "std": [1] * 3}
    with pytest.raises(errors.FleetError, match=r"cannot scale inside m\.onnx"):
        model_bytes._change_network(tmp_path / "m.onnx", described)
