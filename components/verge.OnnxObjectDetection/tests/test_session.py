"""Loading models that fit their card, and refusing all others."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from object_detection import card, session
from object_detection.errors import ModelError
from onnx import TensorProto, helper


def make_model(folder: Path, shape: list[int | str], output: list[int]) -> card.Card:
    """Write a model that returns zeros, and its card for one class at 32 by 32 pixels."""
    zeros = helper.make_tensor("zeros", TensorProto.FLOAT, output, np.zeros(output).ravel())
    sink = helper.make_node("ReduceMax", ["images"], ["peak"], keepdims=0)
    nothing = helper.make_node("Mul", ["zeros", "peak"], ["output0"])
    graph = helper.make_graph(
        [sink, nothing],
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, output)],
        [zeros],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return make_card(folder, model.SerializeToString())


def make_card(folder: Path, data: bytes, **changes: Any) -> card.Card:
    (folder / "small.onnx").write_bytes(data)
    document = {
        "format": "verge.card/1",
        "name": "small",
        "version": "1",
        "file": "small.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "input": {
            "name": "images",
            "layout": "NCHW",
            "colour": "RGB",
            "size": [32, 32],
            "divide": 255,
            "mean": [0, 0, 0],
            "std": [1, 1, 1],
            "resize": "stretch",
            "pad": 0,
        },
        "output": {"family": "ultralytics_v8"},
        "thresholds": {"score": 0.5, "iou": 0.5, "max_detections": 10},
        "labels": ["thing"],
        **changes,
    }
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return card.read_card(path)


def test_loads_a_model_of_ones_own(tmp_path: Path) -> None:
    """Any model whose card tells the truth is loaded."""
    loaded = session.load_session(make_model(tmp_path, [1, 3, 32, 32], [1, 5, 21]))
    outputs = loaded.run(np.ones((1, 3, 32, 32), np.float32))
    assert outputs["output0"].shape == (1, 5, 21)


def test_loads_a_model_with_open_dimensions(tmp_path: Path) -> None:
    """A model that takes any size is run at the size of the card."""
    loaded = session.load_session(make_model(tmp_path, ["batch", 3, "h", "w"], [1, 5, 21]))
    assert loaded.family.suppress


@pytest.mark.parametrize(
    ("shape", "output", "message"),
    [
        pytest.param([1, 3, 64, 64], [1, 5, 21], r"correct input/size", id="other size"),
        pytest.param([1, 32, 32, 3], [1, 5, 21], r"correct input/size or input/lay", id="layout"),
        pytest.param([8, 3, 32, 32], [1, 5, 21], r"export it for one picture, or", id="eight"),
        pytest.param([1, 3, 32, 32], [1, 9, 21], r"wants one output \[1, 4 \+", id="other labels"),
    ],
)
def test_refuses_a_model_its_card_does_not_describe(
    tmp_path: Path, shape: list[int | str], output: list[int], message: str
) -> None:
    """A contradiction between card and model is found when it is loaded, not in the results."""
    with pytest.raises(ModelError, match=message):
        session.load_session(make_model(tmp_path, shape, output))


def retype(folder: Path, kind: int) -> bytes:
    """Write the small model with another type of input."""
    made = make_model(folder, [1, 3, 32, 32], [1, 5, 21])
    model = onnx.load_from_string(made.model.read_bytes())
    model.graph.input[0].type.tensor_type.elem_type = kind
    model.graph.node.insert(0, helper.make_node("Cast", ["images"], ["wide"], to=TensorProto.FLOAT))
    model.graph.node[1].input[0] = "wide"
    return bytes(model.SerializeToString())


INPUT = {
    "name": "images", "layout": "NCHW", "colour": "RGB", "size": [32, 32], "divide": 1,
    "mean": [0, 0, 0], "std": [1, 1, 1], "resize": "stretch", "pad": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "stated", "message"),
    [
        pytest.param(
            TensorProto.FLOAT16,
            "float32",
            r"images float32 \[1, 3, 32, 32\], the model has images float16 .*correct input/type",
            id="half where the card says whole",
        ),
        pytest.param(TensorProto.FLOAT, "float16", "correct input/type of the card", id="reverse"),
        pytest.param(
            TensorProto.UINT8, None, "float32 or float16 .* correct input/type", id="bytes unsaid"
        ),
        pytest.param(
            TensorProto.DOUBLE, None, "export it for one of float32, float16, uint8", id="double"
        ),
    ],
)
def test_refuses_another_type_of_input(
    tmp_path: Path, kind: int, stated: str | None, message: str
) -> None:
    """What the card says of the type holds; unsaid, fractions are meant and never bytes."""
    spec = INPUT | ({"type": stated} if stated else {})
    with pytest.raises(ModelError, match=message):
        session.load_session(make_card(tmp_path, retype(tmp_path, kind), input=spec))


def test_takes_the_type_of_the_model(tmp_path: Path) -> None:
    """A card that does not say the type gets the one of the model, for preprocessing to follow."""
    loaded = session.load_session(make_card(tmp_path, retype(tmp_path, TensorProto.FLOAT16)))
    assert loaded.card.input.type == "float16"


def test_refuses_a_second_input(tmp_path: Path) -> None:
    """A network that wants more than the picture is refused with what to do about it."""
    made = make_model(tmp_path, [1, 3, 32, 32], [1, 5, 21])
    model = onnx.load_from_string(made.model.read_bytes())
    size = helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [1, 2])
    model.graph.input.append(size)
    with pytest.raises(
        ModelError,
        match=r"orig_target_sizes tensor\(int64\) \[1, 2\]; export it so that the picture is its",
    ):
        session.load_session(make_card(tmp_path, model.SerializeToString()))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_fractions_come_as_float32(tmp_path: Path, kind: int) -> None:
    """Half and double precision in the outputs are nothing the families must know of."""
    made = make_model(tmp_path, [1, 3, 32, 32], [1, 5, 21])
    model = onnx.load_from_string(made.model.read_bytes())
    model.graph.node.append(helper.make_node("Cast", ["output0"], ["output1"], to=kind))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("output1", kind, [1, 5, 21]))
    loaded = session.load_session(make_card(tmp_path, model.SerializeToString()))
    outputs = loaded.run(np.ones((1, 3, 32, 32), np.float32))
    assert outputs["output1"].dtype == np.float32


def test_refuses_outputs_that_are_no_tensors(tmp_path: Path) -> None:
    """A network that returns a sequence is refused by the name of the output."""
    made = make_model(tmp_path, [1, 3, 32, 32], [1, 5, 21])
    model = onnx.load_from_string(made.model.read_bytes())
    model.graph.node.append(helper.make_node("SequenceConstruct", ["output0"], ["list"]))
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, [1, 5, 21])
    )
    with pytest.raises(ModelError, match=r"its output list is seq\(tensor\(float\)\), not"):
        session.load_session(make_card(tmp_path, model.SerializeToString()))


def test_refuses_a_model_that_does_not_run(tmp_path: Path) -> None:
    """A network with open dimensions that fails at the size of the card is refused in one line."""
    made = make_model(tmp_path, ["batch", 3, "h", "w"], [1, 5, 21])
    model = onnx.load_from_string(made.model.read_bytes())
    model.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [2], [7, -1]))
    model.graph.node.insert(0, helper.make_node("Reshape", ["images", "shape"], ["reshaped"]))
    model.graph.node[1].input[0] = "reshaped"
    with pytest.raises(ModelError, match=r"it does not run on \[1, 3, 32, 32\]: ") as caught:
        session.load_session(make_card(tmp_path, model.SerializeToString()))
    assert "\n" not in str(caught.value)


def test_refuses_another_file(tmp_path: Path) -> None:
    """A model with another SHA-256 than the card's is not loaded."""
    found = make_model(tmp_path, [1, 3, 32, 32], [1, 5, 21])
    found.model.write_bytes(found.model.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"its SHA-256 is .*, the card says"):
        session.load_session(found)


def test_refuses_what_is_no_model(tmp_path: Path) -> None:
    """Garbage with the right SHA-256 is refused in one line."""
    with pytest.raises(ModelError, match="cannot load the model") as caught:
        session.load_session(make_card(tmp_path, b"this is no model"))
    assert "\n" not in str(caught.value)


def test_refuses_an_absent_model(tmp_path: Path) -> None:
    """A card without its model is refused."""
    found = make_card(tmp_path, b"x")
    found.model.unlink()
    with pytest.raises(ModelError, match="cannot read the model"):
        session.load_session(found)


def test_refuses_another_input_name(tmp_path: Path) -> None:
    """The input is found by the name the card gives."""
    data = make_model(tmp_path, [1, 3, 32, 32], [1, 5, 21]).model.read_bytes()
    model = onnx.load_from_string(data)
    assert model.graph.input[0].name == "images"
    found = make_card(tmp_path, data)
    renamed = yaml.safe_load((tmp_path / "model.yaml").read_text(encoding="utf-8"))
    renamed["input"]["name"] = "picture"
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(renamed), encoding="utf-8")
    with pytest.raises(ModelError, match="the card wants one input picture"):
        session.load_session(card.read_card(found.model.parent / "model.yaml"))


def make_batch_model(folder: Path, fixed: bool = False) -> card.Card:
    """Write a model whose output of each picture is that picture's mean, and its card."""
    first: int | str = 1 if fixed else "batch"
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["columns"]),
        helper.make_node("Tile", ["columns", "repeats"], ["output0"]),
    ]
    constants = {"axes": [1, 2, 3], "column": [-1, 1, 1], "repeats": [1, 5, 21]}
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [first, 3, 32, 32])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [first, 5, 21])],
        [
            helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
            for name, values in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return make_card(folder, model.SerializeToString())


def test_pictures_go_together_where_the_model_allows(tmp_path: Path) -> None:
    """A model with an open first dimension takes several; each gets its own part back."""
    loaded = session.load_session(make_batch_model(tmp_path))
    assert loaded.batch == session.MOST_TOGETHER
    tensor = np.stack([np.full((3, 32, 32), value, np.float32) for value in (1, 2, 3)])
    outputs = loaded.run(tensor)
    for number in range(3):
        alone = session.part(outputs, number, 3)["output0"]
        assert alone.shape == (1, 5, 21)
        assert np.allclose(alone, number + 1)


def test_a_model_for_one_picture_gets_one(tmp_path: Path) -> None:
    """A fixed first dimension means one picture at a time."""
    assert session.load_session(make_batch_model(tmp_path, fixed=True)).batch == 1


def test_runs_as_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Threads are those that were asked for; a provider that is not there is said and skipped."""
    caplog.set_level("INFO")
    found = make_model(tmp_path, [1, 3, 32, 32], [1, 5, 21])
    running = session.Running(threads=3, providers=("CUDAExecutionProvider", session.CPU))
    loaded = session.load_session(found, running)
    assert loaded.threads == 3
    assert loaded.providers == (session.CPU,)
    assert "skipped provider=CUDAExecutionProvider" in caplog.text
    assert session.load_session(found).threads >= 1


def test_runs_side_by_side_share_the_threads(card_path: Path) -> None:
    """In a backlog as many runs as there are threads, at most four, see what one alone sees."""
    found = card.read_card(card_path)
    tensor = np.random.default_rng(7).integers(0, 256, (1, 3, 416, 416), dtype=np.uint8)
    for threads, lookers in ((1, 1), (2, 2), (9, session.MOST_LOOKERS)):
        loaded = session.load_session(found, session.Running(threads=threads))
        assert loaded.lookers == lookers
        beside = loaded.run(tensor, alone=False)
        for name, values in loaded.run(tensor).items():
            np.testing.assert_allclose(beside[name], values, atol=1e-3)


def test_a_large_model_is_not_loaded_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit one session serves everything, one picture at a time."""
    monkeypatch.setattr(session, "MOST_TWICE", 10)
    found = make_model(tmp_path, [1, 3, 32, 32], [1, 5, 21])
    loaded = session.load_session(found, session.Running(threads=2))
    assert loaded.lookers == 1
    outputs = loaded.run(np.zeros((1, 3, 32, 32), np.float32), alone=False)
    assert outputs["output0"].shape == (1, 5, 21)
