"""One picture in, its detections and timings out; in three stages that can overlap."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from object_detection import card, decode, postprocess, preprocess, session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from object_detection.families.base import Outputs


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A picture that waits for the network."""

    picture: decode.Picture
    tensor: Any
    geometry: preprocess.Geometry
    timings: dict[str, float]


@dataclass(frozen=True)
class Inferred:
    """A picture with what the network made of it."""

    prepared: Prepared
    outputs: Outputs
    milliseconds: float
    """Of the network, divided by the pictures it looked at together."""


@dataclass(frozen=True)
class Analysis:
    """What was found in a picture."""

    picture: decode.Picture
    detections: list[postprocess.Detection]
    timings: dict[str, float]
    """Milliseconds of the stages decode, preprocess, inference and postprocess."""


class Detector:
    """A model with its card, ready to look at pictures. Each stage may run in its own thread."""

    def __init__(self, model_card: card.Card, loaded: session.Session) -> None:
        self.card = model_card
        self._session = loaded

    @classmethod
    def load(cls, card_path: Path, running: session.Running | None = None) -> Detector:
        """Load the model that a card describes. Raises CardError or ModelError."""
        loaded = session.load_session(card.read_card(card_path), running)
        _log.info(
            "Model loaded name=%s family=%s providers=%s threads=%d batch=%d",
            *(loaded.card.name, loaded.family_name, ",".join(loaded.providers)),
            *(loaded.threads, loaded.batch),
        )
        return cls(loaded.card, loaded)

    @property
    def family(self) -> str:
        """The name of the output family."""
        return self._session.family_name

    @property
    def batch(self) -> int:
        """How many pictures the network can look at together."""
        return self._session.batch

    @property
    def lookers(self) -> int:
        """How many runs of the network at once keep the cores busiest."""
        return self._session.lookers

    def thresholds(self, score: float | None, iou: float | None) -> card.Thresholds:
        """Return the card's thresholds with what the configuration overrides."""
        base = self.card.thresholds
        return dataclasses.replace(
            base,
            score=base.score if score is None else score,
            iou=base.iou if iou is None else iou,
        )

    def prepare(
        self, path: str, max_pixels: int, expected: decode.Expected = decode.ANY
    ) -> Prepared:
        """Decode a file and bring it into the shape of the input. Raises PictureError."""
        clock = _Stages()
        enough = functools.partial(preprocess.sufficient_size, spec=self.card.input)
        picture = decode.read_picture(path, max_pixels, enough, expected)
        clock.lap("decode")
        tensor, geometry = preprocess.prepare_input(
            picture.pixels, self.card.input, (picture.width, picture.height)
        )
        clock.lap("preprocess")
        return Prepared(picture, tensor, geometry, clock.milliseconds)

    def infer(self, pictures: Sequence[Prepared], *, alone: bool = True) -> list[Inferred]:
        """Run the network on at most `batch` pictures; `alone` if no other run is due."""
        clock = _Stages()
        tensors = [one.tensor for one in pictures]
        together = tensors[0] if len(tensors) == 1 else np.concatenate(tensors)
        outputs = self._session.run(together, alone=alone)
        clock.lap("inference")
        each = round(clock.milliseconds["inference"] / len(pictures), 3)
        return [
            Inferred(one, session.part(outputs, number, len(pictures)), each)
            for number, one in enumerate(pictures)
        ]

    def read(self, inferred: Inferred, wanted: Wanted) -> Analysis:
        """Read what the network found in a picture."""
        clock = _Stages()
        detections = postprocess.select_detections(
            self._session.read(inferred.outputs, wanted.thresholds.score),
            inferred.prepared.geometry,
            wanted.thresholds,
            self.card.labels,
            suppress=self._session.family.suppress,
            classes=wanted.classes,
        )
        clock.lap("postprocess")
        timings = {**inferred.prepared.timings, "inference": inferred.milliseconds}
        return Analysis(inferred.prepared.picture, detections, timings | clock.milliseconds)

    def analyse(self, path: str, max_pixels: int, thresholds: card.Thresholds) -> Analysis:
        """Find the objects in a file, one stage after the other. Raises PictureError."""
        [inferred] = self.infer([self.prepare(path, max_pixels)])
        return self.read(inferred, Wanted(thresholds))


@dataclass(frozen=True)
class Wanted:
    """Which detections count."""

    thresholds: card.Thresholds
    classes: frozenset[str] = field(default_factory=frozenset)
    """Labels; empty: all."""


class _Stages:
    """A stop-watch with named laps."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.milliseconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.milliseconds[name] = round((now - self._last) * 1000, 3)
        self._last = now
