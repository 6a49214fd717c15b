"""Check a model with the code that runs on devices: what it finds, and what its card promises."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verge.fleet.errors import FleetError
from verge.fleet.project import Project

CARD_NAME = "model.yaml"
DETECTOR = "verge.OnnxObjectDetection"
GUIDE = "docs/how-to/bring-your-own-model.md"
_TIMEOUT = 600.0
"""Seconds; the largest models take minutes to load on a small machine."""


@dataclass(frozen=True)
class ModelCheck:
    """What a model found, and what it should have found."""

    card: str
    """As messages show it."""
    model: Mapping[str, Any]
    """`name`, `version`, `file`, `family` and the number of `labels`."""
    pictures: tuple[Mapping[str, Any], ...]
    """`picture`, `width`, `height`, `detections`, `timings_ms` and `annotated`."""
    missed: tuple[str, ...]
    """One sentence for every promise of the card that is not kept."""


def check_model(where: Project, file: Path, picture: Path | None = None) -> ModelCheck:
    """Run the model of a card, or an `.onnx` file beside one, on pictures.

    Without `picture` these are the golden ones of the card, from `pictures/`. The pictures with
    boxes go into `.verge/results/model-check/`. Raises FleetError if file, card, model or picture
    cannot be used; promises that are not kept are in the result.
    """
    card = find_card(where, file)
    document = _run_check(where, card, picture)
    if file.suffix == ".onnx" and document["model"]["file"] != file.name:
        raise FleetError(
            f"cannot check {where.relative(file.absolute())}: "
            f"the card beside it describes {document['model']['file']}",
            f"put its name and SHA-256 into {where.relative(card)}",
        )
    return ModelCheck(
        card=where.relative(card),
        model=document["model"],
        pictures=tuple(
            {**entry, "annotated": where.relative(Path(entry["annotated"]))}
            for entry in document["pictures"]
        ),
        missed=tuple(document["missed"]),
    )


def find_card(where: Project, file: Path) -> Path:
    """Return the card that `file` is, or that lies beside it.

    Raises FleetError, which says what a model without a card takes and returns.
    """
    file = file.absolute()
    shown = where.relative(file)
    if not file.is_file():
        raise FleetError(
            f"cannot find a model at {shown}: no such file",
            f"name a card ({CARD_NAME}) or the .onnx file beside one",
        )
    if file.suffix in {".yaml", ".yml"}:
        return file
    if file.suffix != ".onnx":
        raise FleetError(
            f"cannot check {shown}: it is neither a card nor an .onnx file",
            f"name a card ({CARD_NAME}) or the .onnx file beside one",
        )
    card = file.parent / CARD_NAME
    if not card.is_file():
        has = _run_detector(where, file, "object_detection.describe", str(file))["has"]
        raise FleetError(
            f"cannot check {shown}: no card lies beside it; the model has {has}",
            f"describe it in {where.relative(card)}; {GUIDE} says how",
        )
    return card


def _run_check(where: Project, card: Path, picture: Path | None) -> dict[str, Any]:
    return _run_detector(
        where,
        card,
        "object_detection.check",
        *("--card", str(card)),
        *("--pictures", str(where.root / "pictures")),
        *("--output", str(where.results_dir / "model-check")),
        *(("--picture", str(picture.absolute())) if picture else ()),
    )


def _run_detector(where: Project, file: Path, module: str, *arguments: str) -> dict[str, Any]:
    # Components are no libraries of the tooling: their code runs in a process of its own, with the
    # packages of the tooling, and sees nothing else of ours.
    command = [sys.executable, "-P", "-m", module, *arguments]
    source = where.components_dir / DETECTOR / "src"
    environment = os.environ | {"PYTHONPATH": str(source)}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FleetError(
            f"cannot check {where.relative(file)}: no answer within {_TIMEOUT:g} s"
        ) from error
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise FleetError(
            f"cannot check {where.relative(file)}: "
            f"the detector ended with exit code {done.returncode}: {last}",
            f"to see more: PYTHONPATH={shlex.quote(str(source))} {shlex.join(command)}",
        ) from error
    if "error" in document:
        raise FleetError(
            f"cannot check {where.relative(file)}: {document['error']}",
            f"{GUIDE} explains the keys of a card",
        )
    return document
