"""How good detections are."""

from __future__ import annotations

import numpy as np
import pytest

from training import data, score

TRUTH = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], dtype=np.float32)
FIRST, SECOND, NOWHERE = [0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60]


def measure(*found: tuple[list[int], float], truth: data.Floats = TRUTH) -> score.Curve:
    boxes = np.array([box for box, _ in found], dtype=np.float32).reshape(-1, 4)
    return score.measure([(boxes, np.array([s for _, s in found], dtype=np.float32))], [truth])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param([(FIRST, 0.9), (SECOND, 0.8)], 1.0, id="all"),
        pytest.param([(FIRST, 0.9)], 0.5, id="half"),
        pytest.param([], 0.0, id="nothing"),
        pytest.param([(FIRST, 0.9), (SECOND, 0.8), (NOWHERE, 0.1)], 1.0, id="false and last"),
        pytest.param([(NOWHERE, 0.9), (FIRST, 0.8), (SECOND, 0.7)], 2 / 3, id="false and first"),
        pytest.param([(FIRST, 0.9), (FIRST, 0.8), (SECOND, 0.7)], 0.5 + 1 / 3, id="twice"),
        pytest.param([([0, 0, 10, 4], 0.9), (SECOND, 0.8)], 0.25, id="too small"),
        pytest.param([([0, 0, 10, 5], 0.9), (SECOND, 0.8)], 1.0, id="just large enough"),
    ],
)
def test_average_precision(found: list[tuple[list[int], float]], expected: float) -> None:
    """The area under the curve, each true box found once at most, at an overlap of one half."""
    assert measure(*found).average_precision == pytest.approx(expected)


def test_precision_and_recall_at_a_score() -> None:
    """Only detections with at least the score count."""
    curve = measure((FIRST, 0.9), (NOWHERE, 0.5), (SECOND, 0.3))
    assert curve.at(0.9) == pytest.approx((1.0, 0.5))
    assert curve.at(0.4) == pytest.approx((0.5, 0.5))
    assert curve.at(0.3) == pytest.approx((2 / 3, 1.0))
    assert curve.at(0.95) == (1.0, 0.0)


def test_the_best_score_weighs_recall() -> None:
    """Where recall counts more, the threshold falls."""
    curve = measure((FIRST, 0.9), (NOWHERE, 0.5), (NOWHERE, 0.4), (SECOND, 0.3))
    assert curve.best_score(0.3) == pytest.approx(0.9)
    assert curve.best_score(2.0) == pytest.approx(0.3)
    assert measure().best_score(2.0) == 1


def test_pictures_count_together() -> None:
    """A false detection on a clean tag costs precision, wherever it is."""
    boxes, none = TRUTH[:1], np.zeros((0, 4), dtype=np.float32)
    found = [(boxes, np.array([0.5], np.float32)), (boxes, np.array([0.9], np.float32))]
    assert score.measure(found, [boxes, none]).average_precision == pytest.approx(0.5)
    assert score.measure([(none, np.zeros(0, np.float32))], [none]).average_precision == 0
