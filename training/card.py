"""Write the card of a trained model: what the detector needs, and what was measured."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from training import augment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INPUT = "images"
"""Name of the network's input, as Ultralytics calls it."""
HEAD = """\
# The card of the model: all that the detector must know to use it. Written by `training/`;
# `measured` says how good it is, on which pictures, and how it was made.
"""
_SOURCE = "the metal tags of aws-samples/mlops-at-edge-for-quality-inspection (MIT-0)"


@dataclass(frozen=True)
class Golden:
    """A picture of the repository and the score its best scratch must reach."""

    picture: str
    """Path below `pictures/`."""
    sha256: str
    score: float


@dataclass(frozen=True)
class Card:
    """What differs from one training to the next."""

    name: str
    version: str
    model: Path
    """The ONNX file; the card lies beside it."""
    size: tuple[int, int]
    """Width and height of the input."""
    labels: tuple[str, ...]
    score: float
    iou: float
    golden: tuple[Golden, ...]
    measured: Mapping[str, Any]
    """For people: the detector does not read it."""


def write_card(card: Card, path: Path) -> None:
    """Write a card of format verge.card/1."""
    document = {
        "format": "verge.card/1",
        "name": card.name,
        "version": card.version,
        "file": card.model.name,
        "sha256": hashlib.sha256(card.model.read_bytes()).hexdigest(),
        "task": "detect",
        "source": f"trained by training/ on {_SOURCE}",
        "licences": _Row(["NOTICE"]),
        "input": {
            "name": INPUT,
            "layout": "NCHW",
            "colour": "RGB",
            "size": _Row(card.size),
            "divide": 255,
            "mean": _Row([0, 0, 0]),
            "std": _Row([1, 1, 1]),
            "resize": "letterbox",
            "pad": augment.PAD,
        },
        "output": {"family": "ultralytics_v8"},
        "thresholds": {"score": card.score, "iou": card.iou, "max_detections": 50},
        "golden": [
            {
                "picture": item.picture,
                "sha256": item.sha256,
                "label": card.labels[0],
                "score": item.score,
            }
            for item in card.golden
        ],
        "labels": list(card.labels),
        "measured": dict(card.measured),
    }
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=96, allow_unicode=True)
    path.write_text(HEAD + text, encoding="utf-8")


class _Row(list[Any]):
    """A list on one line."""


class _Dumper(yaml.SafeDumper):
    """Writes as people do: items indented below their key, short rows on one line."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def _write_row(dumper: yaml.SafeDumper, row: _Row) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", row, flow_style=True)


_Dumper.add_representer(_Row, _write_row)
