"""Makes the component's sources and references importable and loads the real model once."""

import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
COMPONENTS = TESTS.parents[1]
sys.path[:0] = [str(TESTS.parent / "src"), str(TESTS)]


@pytest.fixture(scope="session")
def pictures() -> Path:
    """The folder of real pictures."""
    return COMPONENTS.parent / "pictures"


@pytest.fixture(scope="session")
def card_path() -> Path:
    """The card of the model that ships."""
    return COMPONENTS / "verge.OnnxModel" / "model" / "model.yaml"


@pytest.fixture(scope="session")
def loaded(card_path: Path) -> Any:
    """The detector with the model that ships."""
    from object_detection import detector

    return detector.Detector.load(card_path)
