"""Judge a model with the detector's own code, so that figures are those of the device."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training import score
from training.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.data import Floats, Picture

DETECTOR = Path(__file__).parents[1] / "components" / "verge.OnnxObjectDetection" / "src"
LEAST = 0.01
"""Detections below it are noise and would only take time."""
_MAX_PIXELS = 50_000_000


class Judge:
    """A model loaded through its card."""

    def __init__(self, card: Path) -> None:
        """Load it. Raises TrainingError if the detector is missing or refuses the model."""
        # A component is no package; its sources run with their folder on the path.
        if str(DETECTOR) not in sys.path:
            sys.path.insert(0, str(DETECTOR))
        try:
            module = importlib.import_module("object_detection.detector")
            self._detector: Any = module.Detector.load(card)
        except ImportError as error:
            raise TrainingError(f"cannot load the detector in {DETECTOR}: {error}") from error
        except Exception as error:
            # Its errors are classes of a module that is known only now.
            raise TrainingError(f"cannot use the model of {card}: {error}") from error

    def find(self, path: Path, least: float = LEAST) -> tuple[Floats, Floats]:
        """Return boxes (n by 4 corners in pixels of the picture) and scores (n), best first.

        Raises TrainingError for a picture that the detector would reject.
        """
        thresholds = self._detector.thresholds(least, None)
        try:
            found = self._detector.analyse(str(path), _MAX_PIXELS, thresholds).detections
        except Exception as error:
            raise TrainingError(f"cannot look at {path}: {error}") from error
        boxes = np.array([item.box for item in found], dtype=np.float32).reshape(-1, 4)
        return boxes, np.array([item.score for item in found], dtype=np.float32)

    def measure(self, pictures: Sequence[Picture], least: float = LEAST) -> score.Curve:
        """Return precision and recall over these pictures."""
        found = [self.find(picture.path, least) for picture in pictures]
        return score.measure(found, [picture.boxes for picture in pictures])
