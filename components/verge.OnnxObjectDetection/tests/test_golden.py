"""What the card promises, with the model and the pictures that ship."""

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from object_detection import annotate, postprocess


def test_finds_what_the_card_promises(loaded: Any, pictures: Path) -> None:
    """In every golden picture the model finds the label with at least the score of the card."""
    assert loaded.card.golden
    for golden in loaded.card.golden:
        path = pictures / golden.picture
        assert hashlib.sha256(path.read_bytes()).hexdigest() == golden.sha256
        analysis = loaded.analyse(str(path), 10**8, loaded.thresholds(None, None))
        found = {entry.label: entry.score for entry in reversed(analysis.detections)}
        assert found.get(golden.label, 0) >= golden.score, f"{golden.picture}: {found}"
        assert set(analysis.timings) == {"decode", "preprocess", "inference", "postprocess"}


def test_thresholds_of_the_configuration_count(loaded: Any, pictures: Path) -> None:
    """A threshold that is set replaces the card's, one that is not leaves it."""
    strict = loaded.thresholds(0.99, None)
    assert (strict.score, strict.iou) == (0.99, loaded.card.thresholds.iou)
    assert not loaded.analyse(str(pictures / "chelsea.png"), 10**8, strict).detections


def test_draws_where_something_was_found() -> None:
    """The annotated picture differs from the original along the box, not in its middle."""
    pixels = np.full((300, 400, 3), 90, np.uint8)
    found = postprocess.Detection("cat", 15, 0.59, (100.0, 100.0, 300.0, 250.0))
    drawn = cv2.imdecode(np.frombuffer(annotate.draw_detections(pixels, [found]), np.uint8), 1)
    assert drawn is not None
    assert drawn.shape == (300, 400, 3)
    assert np.abs(drawn[250, 150:250].astype(int) - 90).max() > 60, "the lower edge"
    assert np.abs(drawn[160:200, 180:220].astype(int) - 90).max() < 8, "the middle"


def test_draws_on_any_picture() -> None:
    """Neither tiny nor huge pictures, nor labels in another script, are too much."""
    for height, width in ((1, 1), (3, 5000), (5000, 3), (4000, 3000)):
        box = (0.0, 0.0, float(width), float(height))
        found = postprocess.Detection("Kätzchen 猫", 3, 1.0, box)
        data = annotate.draw_detections(np.zeros((height, width, 3), np.uint8), [found])
        drawn = cv2.imdecode(np.frombuffer(data, np.uint8), 1)
        assert drawn is not None
        assert max(drawn.shape[:2]) <= 1600
