"""Looking at pictures with a model, as whoever brings one does."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from object_detection import check
from PIL import Image


@pytest.fixture
def model(card_path: Path, tmp_path: Path) -> Path:
    """A folder with the model that ships and a card to change."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "nanodet-g-416.onnx").symlink_to(card_path.parent / "nanodet-g-416.onnx")
    shutil.copy(card_path, folder)
    return folder / "model.yaml"


def change(model: Path, **values: Any) -> None:
    document = yaml.safe_load(model.read_text(encoding="utf-8"))
    model.write_text(yaml.safe_dump({**document, **values}), encoding="utf-8")


def run(model: Path, pictures: Path, capsys: pytest.CaptureFixture[str], *more: str) -> Any:
    output = model.parent.parent / "out"
    arguments = ["--card", str(model), "--pictures", str(pictures), "--output", str(output)]
    code = check.main([*arguments, *more])
    return code, json.loads(capsys.readouterr().out)


def test_the_model_that_ships_keeps_its_promises(
    model: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every golden picture is looked at, drawn on, and holds what the card says."""
    code, document = run(model, pictures, capsys)
    assert (code, document["missed"]) == (0, [])
    assert document["model"]["family"] == "ultralytics_v8"
    found = {entry["picture"]: entry for entry in document["pictures"]}
    assert set(found) == {"chelsea.png", "astronaut.png"}
    assert found["chelsea.png"]["detections"][0]["label"] == "cat"
    with Image.open(found["chelsea.png"]["annotated"]) as drawn:
        assert drawn.size == (found["chelsea.png"]["width"], found["chelsea.png"]["height"])


def test_a_broken_promise_is_named(
    model: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A score that is not reached and a label that is not found are one sentence each."""
    golden = yaml.safe_load(model.read_text(encoding="utf-8"))["golden"]
    golden[0]["score"] = 0.99
    golden[1]["label"] = "zebra"
    change(model, golden=golden)
    code, document = run(model, pictures, capsys)
    assert code == 1
    assert document["missed"][0].startswith("cat in chelsea.png has score 0.")
    assert document["missed"][0].endswith(", the card promises 0.99")
    assert document["missed"][1].startswith("no zebra in astronaut.png: the model finds person")


def test_another_picture_of_that_name_is_named(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A golden picture that is not the card's proves nothing."""
    for name in ("chelsea.png", "astronaut.png"):
        shutil.copy(pictures / "coffee.png", tmp_path / name)
    code, document = run(model, tmp_path, capsys)
    assert code == 1
    assert document["missed"][0].startswith("chelsea.png is another picture than the card means")


def test_looks_at_a_picture_of_ones_own(
    model: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture without a promise shows what is found and misses nothing."""
    code, document = run(model, pictures, capsys, "--picture", str(pictures / "coffee.png"))
    assert (code, document["missed"]) == (0, [])
    assert [entry["picture"] for entry in document["pictures"]] == ["coffee.png"]


@pytest.mark.parametrize(
    ("changes", "picture", "message"),
    [
        pytest.param({"sha256": "0" * 64}, None, "its SHA-256 is", id="model"),
        pytest.param({"thresholds": {}}, None, "model.yaml: thresholds/score: must", id="card"),
        pytest.param({"output": {"family": "yolox"}}, None, "family yolox wants", id="family"),
        pytest.param({"golden": []}, None, "names no golden pictures", id="nothing to look at"),
        pytest.param({}, "README.md", "cannot look at ", id="no picture"),
        pytest.param({}, "absent.png", "cannot look at ", id="absent picture"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    model: Path,
    pictures: Path,
    changes: dict[str, Any],
    picture: str | None,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Card, model and picture are refused with the reason and exit code 1."""
    change(model, **changes)
    more = ["--picture", str(pictures / picture)] if picture else []
    code, document = run(model, pictures, capsys, *more)
    assert code == 1
    assert message in document["error"]
