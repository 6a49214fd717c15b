"""What a model takes and returns, for whoever writes its card."""

import json
from pathlib import Path

import pytest
from object_detection import describe


def run(model: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
    code = describe.main([str(model)])
    return code, json.loads(capsys.readouterr().out)


def test_names_inputs_and_outputs(card_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Name, type and shape are what a card has to say."""
    code, document = run(card_path.parent / "nanodet-g-416.onnx", capsys)
    assert code == 0
    assert document["has"].startswith("input images uint8 [1, 3, 416, 416]; output output0 ")


def test_says_what_the_metadata_settles(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels and families that the model names itself need not stand in the card."""
    folder = pictures.parent / "components" / "verge.ScratchModel" / "model"
    [model] = folder.glob("*.onnx")
    _, document = run(model, capsys)
    assert "; 1 labels in its metadata; a family among ultralytics_v8" in document["has"]


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_what_is_no_model_is_one_sentence(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that the runtime cannot load is named."""
    (tmp_path / "x.onnx").write_bytes(content)
    code, document = run(tmp_path / "x.onnx", capsys)
    assert code == 1
    assert document["error"].startswith(f"cannot load the model {tmp_path / 'x.onnx'}: ")
    assert "\n" not in document["error"]
