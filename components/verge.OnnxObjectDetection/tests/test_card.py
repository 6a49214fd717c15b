"""The card of a model, whole and with every kind of mistake."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from object_detection import card, families
from object_detection.errors import CardError

SCHEMA = json.loads((Path(card.__file__).parent / "schemas" / "card.json").read_bytes())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one() -> None:
    """The schema obeys the rules for schemas."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_knows_every_choice() -> None:
    """What the reader takes, the schema takes, and the card that ships obeys it."""
    spec = SCHEMA["properties"]["input"]["properties"]
    assert tuple(spec["layout"]["enum"]) == card.LAYOUTS
    assert tuple(spec["colour"]["enum"]) == card.COLOURS
    assert tuple(spec["resize"]["enum"]) == card.RESIZES
    assert tuple(spec["type"]["enum"]) == card.TYPES
    family = SCHEMA["properties"]["output"]["properties"]["family"]
    assert family["enum"] == list(families.FAMILIES)


def test_the_card_that_ships_obeys_the_schema(card_path: Path) -> None:
    """The shipped card is an example of the schema."""
    VALIDATOR.validate(yaml.safe_load(card_path.read_text(encoding="utf-8")))


def test_reads_the_card_that_ships(card_path: Path) -> None:
    """The shipped card describes the shipped model."""
    found = card.read_card(card_path)
    assert (found.name, found.model.name) == ("nanodet-g-416", "nanodet-g-416.onnx")
    assert (found.input.width, found.input.height, found.input.layout) == (416, 416, "NCHW")
    assert len(found.labels) == 80
    assert found.labels[15] == "cat"
    assert {golden.picture for golden in found.golden} == {"chelsea.png", "astronaut.png"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        pytest.param("format", "verge.card/9", "format: must be verge.card/1", id="format"),
        pytest.param("name", "", "name: must be a text", id="name"),
        pytest.param("file", "../x.onnx", "file: must be the name of a file", id="file elsewhere"),
        pytest.param("sha256", "abc", "sha256: must be a SHA-256", id="sha256"),
        pytest.param("input", None, "input: must be a map", id="no input"),
        pytest.param("input/sizes", [1, 1], "input/sizes: is unknown; the keys", id="slip"),
        pytest.param(
            "input/type", "int8", "input/type: must be float32 or float16 or uint8", id="type"
        ),
        pytest.param("input/divide", 255, "input/type: uint8 wants divide 1", id="bytes"),
        pytest.param("input/size", [416.5, 416], "input/size: must be whole", id="part of a pixel"),
        pytest.param("output", "yolo", "output: must be a map", id="output"),
        pytest.param("output/families", "x", "output/families: is unknown", id="slip in output"),
        pytest.param("thresholds/sore", 1, "thresholds/sore: is unknown", id="slip in thresholds"),
        pytest.param(
            "thresholds/max_detections", 1.5, "thresholds/max_detections: must be", id="n"
        ),
        pytest.param("input/layout", "CHWN", "input/layout: must be NCHW or NHWC", id="layout"),
        pytest.param("input/size", [416], "input/size: must be a list of 2 numbers", id="size"),
        pytest.param("input/size", [416, 0], "input/size: must be a list", id="no height"),
        pytest.param("input/std", [1, 0, 1], "input/std: must be a list of 3", id="std of zero"),
        pytest.param("input/divide", 0, "input/divide: must be a number from 1e-09", id="divide"),
        pytest.param("input/pad", True, "input/pad: must be a number", id="boolean pad"),
        pytest.param("thresholds/score", 2, "thresholds/score: must be a number", id="score"),
        pytest.param("labels", [], "labels: must be a list of texts", id="no labels"),
        pytest.param("labels", ["a", 1], "labels: must be a list of texts", id="odd label"),
        pytest.param("golden", [{}], "golden/0/picture: must be a text", id="golden"),
    ],
)
def test_names_the_place_of_a_mistake(
    card_path: Path, tmp_path: Path, key: str, value: Any, message: str
) -> None:
    """A wrong value is refused with the file and the path in it, and by the schema as well."""
    document = yaml.safe_load(card_path.read_text(encoding="utf-8"))
    *parents, last = key.split("/")
    place = document
    for parent in parents:
        place = place[parent]
    place[last] = value
    sections = {
        str(next(iter(error.absolute_path), "")) for error in VALIDATOR.iter_errors(document)
    }
    assert sections == {key.split("/")[0]}
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(CardError) as caught:
        card.read_card(path)
    assert str(caught.value).startswith(f"model.yaml: {message}")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"a: [", id="broken YAML"),
        pytest.param(b"\xff\xfe\x00", id="no text"),
        pytest.param(b"", id="empty"),
        pytest.param(b"- a\n- b\n", id="a list"),
        pytest.param(b"!!python/object/apply:os.getcwd []", id="code"),
    ],
)
def test_refuses_what_is_no_card(tmp_path: Path, content: bytes) -> None:
    """Whatever lies there, the answer is one sentence naming the file."""
    path = tmp_path / "model.yaml"
    path.write_bytes(content)
    with pytest.raises(CardError, match=r"model\.yaml") as caught:
        card.read_card(path)
    assert "\n" not in str(caught.value)


def test_refuses_an_absent_card(tmp_path: Path) -> None:
    """A card that is not there is named."""
    with pytest.raises(CardError, match="cannot read the card"):
        card.read_card(tmp_path / "model.yaml")


def test_leaves_to_the_metadata_what_it_may_settle(card_path: Path, tmp_path: Path) -> None:
    """A card without output and labels is whole, for the schema as well."""
    document = yaml.safe_load(card_path.read_text(encoding="utf-8"))
    del document["output"], document["labels"]
    VALIDATOR.validate(document)
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    found = card.read_card(path)
    assert (found.family, found.labels) == (None, ())
