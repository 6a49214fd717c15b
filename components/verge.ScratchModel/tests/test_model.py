"""The component and what it carries: recipe, network, card, and the promises of the card."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

COMPONENT = Path(__file__).parents[1]
COMPONENTS = COMPONENT.parent
PICTURES = COMPONENTS.parent / "pictures"
CARD = COMPONENT / "model" / "model.yaml"
DETECTOR = COMPONENTS / "verge.OnnxObjectDetection" / "src"
MOST_BYTES = 5 * 1024 * 1024
NAME, OTHER = "verge.ScratchModel", "verge.OnnxModel"

sys.path.insert(0, str(DETECTOR))


@pytest.fixture(scope="module")
def card() -> Any:
    return yaml.safe_load(CARD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def loaded() -> Any:
    """The detector with this model."""
    from object_detection import detector

    return detector.Detector.load(CARD)


def test_installs_as_the_other_model_does() -> None:
    """Manifest and project are those of verge.OnnxModel, whose tests run the install step."""
    recipe = (COMPONENT / "recipe.yaml").read_text(encoding="utf-8")
    other = (COMPONENTS / OTHER / "recipe.yaml").read_text(encoding="utf-8")
    assert recipe.partition("Manifests:")[2] == other.partition("Manifests:")[2].replace(
        OTHER, NAME
    )
    project = (COMPONENTS / OTHER / "gdk-config.json").read_text(encoding="utf-8")
    assert (COMPONENT / "gdk-config.json").read_text(encoding="utf-8") == project.replace(
        OTHER, NAME
    )


def test_the_card_fits_its_schema(card: Any) -> None:
    """The schema that editors use accepts the card."""
    schema = DETECTOR / "object_detection" / "schemas" / "card.json"
    jsonschema.validate(card, json.loads(schema.read_bytes()))


def test_the_card_names_the_file_that_ships(card: Any) -> None:
    """The SHA-256 of the card is that of the network, which is small."""
    network = CARD.parent / card["file"]
    assert hashlib.sha256(network.read_bytes()).hexdigest() == card["sha256"]
    assert network.stat().st_size <= MOST_BYTES


def test_papers_travel_with_the_model(card: Any) -> None:
    """The notice says where the network and its pictures come from."""
    notice = (CARD.parent / "NOTICE").read_text(encoding="utf-8")
    assert card["licences"] == ["NOTICE"]
    for word in (card["file"], "Apache License 2.0", "MIT-0", "mlops-at-edge"):
        assert word in notice
    terms = (PICTURES / "metal-tags" / "LICENSE").read_text(encoding="utf-8")
    assert terms.startswith("MIT No Attribution")


def test_a_golden_picture_travels_with_the_model(card: Any) -> None:
    """What lies beside the card is one of the pictures that it makes a promise about."""
    beside = [path for path in CARD.parent.iterdir() if path.suffix == ".jpg"]
    digests = {golden["sha256"] for golden in card["golden"]}
    assert beside
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in beside} <= digests


def test_the_metadata_agrees_with_the_card(loaded: Any, card: Any) -> None:
    """Who loses the card still learns names, stride and size from the network."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(CARD.parent / card["file"]))
    values = session.get_modelmeta().custom_metadata_map
    width, height = card["input"]["size"]
    assert values["names"] == repr(dict(enumerate(card["labels"])))
    assert values["imgsz"] == repr([height, width])
    assert values["version"] == card["version"]
    assert loaded.family == card["output"]["family"] == "ultralytics_v8"


def test_finds_what_the_card_promises(loaded: Any, card: Any) -> None:
    """In every golden picture there is a scratch with at least the promised score."""
    assert len(card["golden"]) >= 3
    for golden in loaded.card.golden:
        path = PICTURES / golden.picture
        assert hashlib.sha256(path.read_bytes()).hexdigest() == golden.sha256
        found = loaded.analyse(str(path), 10**7, loaded.thresholds(None, None)).detections
        assert found, golden.picture
        assert (found[0].label, found[0].score >= golden.score) == (golden.label, True)


# Boxes at the threshold of the card, as the first run after training gave them.
EXPECTED = {
    "tag-10-15-03-04-left-top.jpg": [],
    "tag-10-51-51-85-left-top.jpg": [
        (127.9, 118.2, 174.3, 197.2),
        (297.9, 157.5, 338.0, 246.6),
        (249.4, 111.8, 272.9, 178.0),
    ],
    "tag-11-05-35-04-right-bottom.jpg": [
        (285.4, 135.0, 342.4, 194.8),
        (348.9, 191.1, 388.8, 228.3),
        (273.2, 169.8, 301.5, 191.0),
    ],
    "tag-11-09-36-69-right-top.jpg": [
        (260.0, 165.2, 319.1, 261.2),
        (174.1, 123.6, 269.1, 192.6),
    ],
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_boxes_are_where_they_were(loaded: Any, name: str) -> None:
    """Another processor or runtime moves boxes by less than two pixels."""
    path = PICTURES / "metal-tags" / name
    found = loaded.analyse(str(path), 10**7, loaded.thresholds(None, None)).detections
    for box, expected in zip(
        sorted(item.box for item in found), sorted(EXPECTED[name]), strict=True
    ):
        assert box == pytest.approx(expected, abs=2)
