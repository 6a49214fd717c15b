"""One picture in, its detections and timings out."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from object_detection import card, decode, postprocess, preprocess, session

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Analysis:
    """What was found in a picture."""

    picture: decode.Picture
    detections: list[postprocess.Detection]
    timings: dict[str, float]
    """Milliseconds of the stages decode, preprocess, inference and postprocess."""


class Detector:
    """A model with its card, ready to look at pictures."""

    def __init__(self, model_card: card.Card, loaded: session.Session) -> None:
        self.card = model_card
        self._session = loaded

    @classmethod
    def load(cls, card_path: Path) -> Detector:
        """Load the model that a card describes. Raises CardError or ModelError."""
        loaded = session.load_session(card.read_card(card_path))
        return cls(loaded.card, loaded)

    @property
    def family(self) -> str:
        """The name of the output family."""
        return self._session.family_name

    def thresholds(self, score: float | None, iou: float | None) -> card.Thresholds:
        """Return the card's thresholds with what the configuration overrides."""
        base = self.card.thresholds
        return dataclasses.replace(
            base,
            score=base.score if score is None else score,
            iou=base.iou if iou is None else iou,
        )

    def analyse(self, path: str, max_pixels: int, thresholds: card.Thresholds) -> Analysis:
        """Find the objects in a file. Raises PictureError."""
        clock = _Stages()
        picture = decode.read_picture(path, max_pixels)
        clock.lap("decode")
        tensor, geometry = preprocess.prepare_input(picture.pixels, self.card.input)
        clock.lap("preprocess")
        outputs = self._session.run(tensor)
        clock.lap("inference")
        detections = postprocess.select_detections(
            self._session.read(outputs, thresholds.score),
            geometry,
            thresholds,
            self.card.labels,
            suppress=self._session.family.suppress,
        )
        clock.lap("postprocess")
        return Analysis(picture, detections, clock.milliseconds)


class _Stages:
    """A stop-watch with named laps."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.milliseconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.milliseconds[name] = round((now - self._last) * 1000, 3)
        self._last = now
