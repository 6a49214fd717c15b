"""Training, as far as a minute shows it; needs PyTorch, which only training installs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from training import data

torch = pytest.importorskip("torch", reason="PyTorch is not installed: training/requirements.lock")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from training import export, learn, loss, network  # noqa: E402 - they need PyTorch

SIZE = (96, 64)
SETTINGS = learn.Settings(epochs=1, batch=2, size=SIZE, threads=1)


@pytest.fixture
def pictures(tmp_path: Path) -> list[data.Picture]:
    """Four tags with one scratch each."""
    made = []
    for number in range(4):
        pixels = np.full((60, 90, 3), 60, np.uint8)
        x = 15 + 10 * number
        cv2.line(pixels, (x, 15), (x + 25, 40), (250, 250, 250), 3)
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), pixels)
        box = np.array([[x - 4, 11, x + 30, 45]], dtype=np.float32)
        made.append(data.Picture(path, f"shot-{number}", box))
    return made


def test_an_epoch_is_learnt_and_repeated_exactly(pictures: list[data.Picture]) -> None:
    """One epoch moves the weights, and the same seed moves them to the same place."""
    lines: list[str] = []
    first = learn.train_network(pictures, SETTINGS, lines.append).state_dict()
    again = learn.train_network(pictures, SETTINGS, lines.append).state_dict()
    torch.manual_seed(SETTINGS.seed)
    fresh = network.ScratchNetwork().state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], fresh[key]) for key in first if "weight" in key)
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/1: loss ")


def test_the_export_says_the_same(tmp_path: Path) -> None:
    """ONNX Runtime and PyTorch agree, for one picture and for several; the metadata is there."""
    model = network.ScratchNetwork().eval()
    path = tmp_path / "model.onnx"
    export.export_network(model, path, SIZE, ("scratch",), {"version": "1.0.0"})
    session = onnxruntime.InferenceSession(str(path))
    for count in (1, 3):
        inputs = torch.rand(count, 3, SIZE[1], SIZE[0])
        (outputs,) = session.run(None, {"images": inputs.numpy()})
        assert outputs.shape == (count, 5, SIZE[0] * SIZE[1] // 64)
        with torch.no_grad():
            expected = network.Exported(model)(inputs).numpy()
        np.testing.assert_allclose(outputs, expected, atol=1e-3)
    values = session.get_modelmeta().custom_metadata_map
    assert values["names"] == "{0: 'scratch'}"
    assert (values["task"], values["stride"], values["imgsz"]) == ("detect", "8", "[64, 96]")
    text = path.read_bytes()
    assert str(Path(export.__file__).parent).encode() not in text, "no path of this machine"


def test_the_cells_in_the_middle_answer() -> None:
    """Cells around the centre are asked for the scratch, the best of them for the full overlap."""
    truth = torch.tensor([[16.0, 16.0, 48.0, 48.0]])
    cells = loss.make_cells(SIZE)
    boxes = truth.repeat(len(cells), 1)
    owners, weights = loss.assign_cells(cells, boxes, torch.zeros(len(cells)), truth)
    chosen = weights > 0
    assert (owners[chosen] == 0).all()
    assert ((cells[chosen] - 32).abs() <= 10).all()
    assert weights.max().item() == pytest.approx(1.0, abs=1e-4)


def test_a_scratch_that_no_cell_sees_yet_is_still_asked_for() -> None:
    """When no box overlaps it, the nearest cell is told to begin."""
    truth = torch.tensor([[16.0, 16.0, 48.0, 20.0], [60.0, 30.0, 70.0, 60.0]])
    cells = loss.make_cells(SIZE)
    nowhere = torch.zeros(len(cells), 4)
    owners, weights = loss.assign_cells(cells, nowhere, torch.zeros(len(cells)), truth)
    assert sorted(owners[weights > 0].tolist()) == [0, 1]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param([0, 0, 10, 10], 1.0, id="same"),
        pytest.param([0, 0, 10, 5], 0.5, id="half"),
        pytest.param([20, 20, 30, 30], 0.0, id="apart"),
    ],
)
def test_overlap(box: list[float], expected: float) -> None:
    """The plain overlap is shared area by common area; penalties only take away from it."""
    first, other = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([box]).float()
    assert loss.plain_iou(first, other).item() == pytest.approx(expected, abs=1e-5)
    assert loss.complete_iou(first, other).item() <= expected + 1e-5


def test_better_boxes_cost_less() -> None:
    """The loss falls as the network comes closer to the truth."""
    truth = [torch.tensor([[16.0, 16.0, 48.0, 48.0]]), torch.zeros(0, 4)]
    cells = loss.make_cells(SIZE)
    values = []
    for side in (8.0, 20.0, 32.0):
        found = torch.zeros(2, 5, len(cells))
        found[:, :2] = 32.0
        found[:, 2:4] = side
        near = ((cells - 32).abs() <= 10).all(dim=1)
        found[:, 4] = -8.0
        found[0, 4, near] = 4.0
        values.append(loss.compute_loss(found, truth, SIZE).item())
    assert values[0] > values[1] > values[2]


def test_clean_tags_alone_are_no_trouble() -> None:
    """A batch without any scratch has a loss that can be learnt from."""
    model = network.ScratchNetwork().train()
    found = model(torch.rand(2, 3, SIZE[1], SIZE[0]))
    value = loss.compute_loss(found, [torch.zeros(0, 4)] * 2, SIZE)
    value.backward()
    assert torch.isfinite(value)
