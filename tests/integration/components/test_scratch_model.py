"""verge.ScratchModel at work, and how good it is on pictures that it never saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.components import line as lines
from training import data, judge

ROOT = Path(__file__).parents[3]
CARD = ROOT / "components" / "verge.ScratchModel" / "model" / "model.yaml"
PICTURES = ROOT / "pictures" / "metal-tags"
SET = ROOT.parent / "shared" / "data" / "metal-tags"
COMPONENT = "verge.ScratchModel"
ROUNDING = 0.01
"""Other processors round differently."""

with_the_set = pytest.mark.skipif(
    not (SET / "annotations.json").is_file(),
    reason=f"the set of metal tags is not at {SET}; it does not ship with the repository",
)


@pytest.fixture(scope="module")
def card() -> Any:
    return yaml.safe_load(CARD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured(card: Any) -> Any:
    return card["measured"]


async def test_an_inspection_line_finds_scratches(card: Any) -> None:
    """Deployed beside the other model and chosen by configuration, it takes over at once."""
    async with lines.running_line() as line:
        lines.release_component(line.nucleus.release, COMPONENT)
        update = {lines.DETECTOR: {"MERGE": {"modelComponent": COMPONENT}}}
        report = await line.nucleus.deploy(
            *("--merge", COMPONENT, "--update-config", json.dumps(update))
        )
        assert report["status"] == "SUCCEEDED", report
        await line.nucleus.until(
            lambda: f"Model loaded name={card['name']}" in line.log(lines.DETECTOR),
            "the detector has the new model",
        )
        names = {path.name: line.drop(path, path.name) for path in PICTURES.glob("*.jpg")}
        found = await line.results_of(*names)
    for golden in card["golden"]:
        document = found[Path(golden["picture"]).name]
        assert document["model"]["name"] == card["name"]
        assert document["detections"][0]["label"] == golden["label"]
        assert document["detections"][0]["score"] >= golden["score"]
    clean = set(names) - {Path(golden["picture"]).name for golden in card["golden"]}
    assert [found[name]["detections"] for name in clean] == [[]], "a clean tag shows no scratch"


@with_the_set
def test_the_card_lists_the_split_of_its_seed(measured: Any) -> None:
    """The shots that the card names are those that the seed sets aside, all of them."""
    shots = [picture.shot for picture in data.read_pictures(SET)]
    split = data.split_shots(shots, data.VALIDATION_SHARE, measured["seed"])
    assert measured["validation_shots"] == list(split.validation)
    assert measured["training_shots"] == list(split.training)


@with_the_set
def test_is_as_good_as_its_card_says(card: Any, measured: Any) -> None:
    """AP50, precision and recall on the validation shots are those of the card."""
    validation = data.select(data.read_pictures(SET), measured["validation_shots"])
    curve = judge.Judge(CARD).measure(validation)
    precision, recall = curve.at(card["thresholds"]["score"])
    assert curve.average_precision >= measured["ap50"] - ROUNDING
    assert precision >= measured["precision"] - 2 * ROUNDING
    assert recall >= measured["recall"] - 2 * ROUNDING
    assert len(validation) == measured["pictures"]


@with_the_set
def test_pictures_that_ship_are_none_it_learnt_from(measured: Any) -> None:
    """They come from validation shots, so that a promise about them proves something."""
    shipped = {path.read_bytes() for path in PICTURES.glob("*.jpg")}
    assert shipped
    known = {picture.path.read_bytes(): picture.shot for picture in data.read_pictures(SET)}
    assert {known[content] for content in shipped} <= set(measured["validation_shots"])
