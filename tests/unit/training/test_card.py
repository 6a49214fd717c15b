"""The card that training writes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from training import card, judge

SCHEMA = judge.DETECTOR / "object_detection" / "schemas" / "card.json"


@pytest.fixture
def made(tmp_path: Path) -> card.Card:
    """Return what a training would hand over."""
    (tmp_path / "net.onnx").write_bytes(b"network")
    return card.Card(
        name="net",
        version="1.2.3",
        model=tmp_path / "net.onnx",
        size=(480, 320),
        labels=("scratch",),
        score=0.25,
        iou=0.5,
        golden=(card.Golden("tags/one.jpg", "0" * 64, 0.7),),
        measured={"ap50": 0.8, "validation_shots": ["2020-04-22", "2020-04-23"]},
    )


def test_the_schema_accepts_the_card(made: card.Card, tmp_path: Path) -> None:
    """What is written is a card that the detector takes, with and without promises."""
    schema = json.loads(SCHEMA.read_bytes())
    for golden in (made.golden, ()):
        card.write_card(dataclasses.replace(made, golden=golden), tmp_path / "model.yaml")
        jsonschema.validate(yaml.safe_load((tmp_path / "model.yaml").read_bytes()), schema)


def test_the_card_says_what_it_was_given(made: card.Card, tmp_path: Path) -> None:
    """File, digest, thresholds, promise and figures stand in it; names of shots stay texts."""
    card.write_card(made, tmp_path / "model.yaml")
    text = (tmp_path / "model.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    assert document["file"] == "net.onnx"
    assert document["sha256"] == hashlib.sha256(b"network").hexdigest()
    assert document["input"]["size"] == [480, 320]
    assert document["thresholds"] == {"score": 0.25, "iou": 0.5, "max_detections": 50}
    assert document["golden"][0]["picture"] == "tags/one.jpg"
    assert document["golden"][0]["label"] == "scratch"
    assert document["measured"] == made.measured
    assert text.startswith("# The card of the model")
