"""Checking a model with the detector's own code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.unit.fleet import samples
from verge.fleet import errors, models, project, report

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "components" / "verge.OnnxModel" / "model"


@pytest.fixture
def where(tmp_path: Path) -> project.Project:
    """Return a checkout with the detector and the pictures that ship, and results of its own."""
    return samples.make_project_with_detector(tmp_path / "checkout")


@pytest.fixture
def card(where: project.Project) -> Path:
    """Return a card to change, beside the model that ships."""
    folder = where.root / "model"
    folder.mkdir()
    (folder / "nanodet-g-416.onnx").symlink_to(MODEL / "nanodet-g-416.onnx")
    return Path(shutil.copy(MODEL / "model.yaml", folder))


def change(card: Path, **values: Any) -> None:
    document = yaml.safe_load(card.read_text(encoding="utf-8"))
    card.write_text(yaml.safe_dump({**document, **values}), encoding="utf-8")


@pytest.mark.parametrize("name", ["model.yaml", "nanodet-g-416.onnx"])
def test_checks_a_card_or_the_model_beside_it(
    where: project.Project, card: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The golden pictures are looked at, drawn on and shown in a table."""
    result = models.check_model(where, card.parent / name)
    assert result.missed == ()
    assert result.card == "model/model.yaml"
    assert [item["detections"][0]["label"] for item in result.pictures] == ["cat", "person"]
    for item in result.pictures:
        assert item["annotated"].startswith(".verge/results/model-check/")
        with Image.open(where.root / item["annotated"]) as drawn:
            assert drawn.format == "JPEG"
    report.print_model_check(result)
    shown = capsys.readouterr().out
    assert "nanodet-g-416 1.0.1, read as ultralytics_v8" in shown
    assert "chelsea.png" in shown
    assert "astronaut.jpg" in shown


def test_looks_at_a_picture_of_ones_own(
    where: project.Project, card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture in which nothing is found is a row as well."""
    Image.new("RGB", (300, 200), (90, 90, 90)).save(tmp_path / "wall.png")
    result = models.check_model(where, card, tmp_path / "wall.png")
    assert [item["picture"] for item in result.pictures] == ["wall.png"]
    report.print_model_check(result)
    assert "nothing" in capsys.readouterr().out


def test_a_broken_promise_fails(
    where: project.Project, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the card promises and the model misses is an error, after the table or document."""
    golden = yaml.safe_load(card.read_text(encoding="utf-8"))["golden"]
    change(card, golden=[golden[0] | {"label": "dog"}])
    result = models.check_model(where, card)
    with pytest.raises(errors.FleetError) as told:
        report.print_model_check(result, as_json=True)
    assert told.value.message == "model/model.yaml: no dog in chelsea.png: the model finds cat"
    assert json.loads(capsys.readouterr().out)["missed"] == [
        "no dog in chelsea.png: the model finds cat"
    ]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        pytest.param("absent.onnx", "cannot find a model at absent.onnx: no such file", id="none"),
        pytest.param("model", "cannot find a model at model: no such file", id="folder"),
        pytest.param("tasks.py", "cannot check tasks.py: it is neither", id="another file"),
        pytest.param(
            "alone/nanodet-g-416.onnx",
            "cannot check alone/nanodet-g-416.onnx: no card lies beside it; the model has input "
            "images uint8 [1, 3, 416, 416]; output output0 float32 [1, 84, ",
            id="alone",
        ),
        pytest.param("empty/x.onnx", "cannot check empty/x.onnx: cannot load the mod", id="empty"),
        pytest.param(
            "model/other.onnx",
            "cannot check model/other.onnx: the card beside it describes nanodet-g-416.onnx",
            id="another's card",
        ),
    ],
)
def test_refuses_what_is_no_model(
    where: project.Project, card: Path, file: str, message: str
) -> None:
    """A file without a card of its own is refused with the next step."""
    for name in ("alone", "empty"):
        (where.root / name).mkdir()
    (where.root / "alone" / "nanodet-g-416.onnx").symlink_to(MODEL / "nanodet-g-416.onnx")
    (where.root / "empty" / "x.onnx").touch()
    (card.parent / "other.onnx").touch()
    with pytest.raises(errors.FleetError) as told:
        models.check_model(where, where.root / file)
    assert told.value.message.startswith(message)
    assert told.value.hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"sha256": "x"}, "model.yaml: sha256: must be a SHA-256", id="card"),
        pytest.param({"sha256": "0" * 64}, "its SHA-256 is ac20def3", id="model"),
        pytest.param(
            {"output": {"family": "yolo"}}, "the choices are: ultralytics_v8", id="family"
        ),
    ],
)
def test_says_what_is_wrong_with_a_card(
    where: project.Project, card: Path, changes: dict[str, Any], message: str
) -> None:
    """The detector's own reason is the tooling's."""
    change(card, **changes)
    with pytest.raises(errors.FleetError) as told:
        models.check_model(where, card)
    assert told.value.message.startswith("cannot check model/model.yaml: ")
    assert message in told.value.message


def test_a_detector_that_does_not_answer_is_named(where: project.Project, card: Path) -> None:
    """Whatever ends the detector early, its last words and the command are shown."""
    (where.components_dir / models.DETECTOR).unlink()
    with pytest.raises(errors.FleetError) as told:
        models.check_model(where, card)
    assert "the detector ended with exit code 1: " in told.value.message
    assert "No module named 'object_detection'" in told.value.message
    assert told.value.hint is not None
    assert "-m object_detection.check" in told.value.hint
