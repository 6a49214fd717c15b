"""The command, on a handful of drawn tags; needs PyTorch, which only training installs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("torch", reason="PyTorch is not installed: training/requirements.lock")

from training import data, judge, train

# Loading PyTorch's exporter alone takes half a minute on a busy machine.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five shots of one tag each, with one scratch."""
    images, annotations = [], []
    (tmp_path / "images").mkdir()
    for number in range(5):
        pixels = np.full((300, 450, 3), 60, np.uint8)
        x = 60 + 50 * number
        cv2.line(pixels, (x, 100), (x + 90, 180), (250, 250, 250), 3)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), pixels)
        images.append({"id": number, "file_name": f"{number}.png", "shot": f"shot-{number}"})
        annotations.append({"image_id": number, "bbox": [x - 4, 96, 98, 88]})
    document = {"images": images, "annotations": annotations}
    (tmp_path / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
    return tmp_path


def test_one_command_writes_network_and_card(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After one epoch the detector loads what was written, and the card says what was measured."""
    out = folder / "out"
    arguments = ["--data", str(folder), "--out", str(out), "--epochs", "1", "--threads", "1"]
    assert train.main(arguments) == 0
    document = yaml.safe_load((out / "model.yaml").read_text(encoding="utf-8"))
    measured = document["measured"]
    assert len(measured["validation_shots"]) == 1
    assert len(measured["training_shots"]) == 4
    assert 0 <= measured["ap50"] <= 1
    assert (measured["seed"], measured["epochs"]) == (0, 1)
    boxes, scores = judge.Judge(out / "model.yaml").find(folder / "images" / "0.png")
    assert len(boxes) == len(scores)
    printed = capsys.readouterr()
    assert "AP50" in printed.out
    assert "epoch 1/1: loss" in printed.err


def test_the_same_command_writes_the_same_network(folder: Path) -> None:
    """Set, seed and options fix every byte, also in half precision."""
    made = []
    for name in ("first", "again"):
        out = folder / name
        arguments = ["--data", str(folder), "--out", str(out), "--epochs", "1", "--bfloat16"]
        assert train.main(arguments) == 0
        made.append((out / f"{train.NAME}.onnx").read_bytes())
    assert made[0] == made[1]


def test_folds_write_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cross-validation prints a figure per fold and their mean, and leaves no file."""
    before = sorted(folder.rglob("*"))
    arguments = ["--data", str(folder), "--folds", "2", "--epochs", "1", "--threads", "1"]
    assert train.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["fold 1 of 2", "fold 2 of 2"]
    assert lines[2].startswith("AP50 ")
    assert sorted(folder.rglob("*")) == before


def test_a_missing_set_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 and the place; nothing is written."""
    out = tmp_path / "out"
    assert train.main(["--data", str(tmp_path / "absent"), "--out", str(out)]) == 1
    assert capsys.readouterr().err.startswith("ERROR cannot read ")
    assert not out.exists()


def test_a_failure_leaves_the_former_model(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """When a picture to judge by cannot be read, network and card that were there stay."""
    out = folder / "out"
    out.mkdir()
    (out / "model.yaml").write_text("former", encoding="utf-8")
    [judged_by] = data.split_shots([f"shot-{n}" for n in range(5)], 0.2, 0).validation
    picture = folder / "images" / f"{judged_by[-1]}.png"
    picture.write_bytes(picture.read_bytes()[:100])
    assert train.main(["--data", str(folder), "--out", str(out), "--epochs", "1"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"ERROR cannot look at {picture}: ")
    assert [path.name for path in out.iterdir()] == ["model.yaml"]
    assert (out / "model.yaml").read_text(encoding="utf-8") == "former"


@pytest.mark.parametrize(
    "more", [[], ["--out", "x", "--folds", "2"], ["--folds", "1"]], ids=["none", "both", "one"]
)
def test_asks_for_one_of_two_things(more: list[str]) -> None:
    """Either a folder to write to or at least two folds, else exit code 2."""
    with pytest.raises(SystemExit) as ended:
        train.main(["--data", "x", *more])
    assert ended.value.code == 2
