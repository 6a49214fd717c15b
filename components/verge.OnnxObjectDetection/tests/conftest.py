"""Makes the component's sources importable and loads the real model once."""

import sys
from pathlib import Path
from typing import Any

import pytest

COMPONENTS = Path(__file__).parents[2]
sys.path.insert(0, str(COMPONENTS / "verge.OnnxObjectDetection" / "src"))


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
