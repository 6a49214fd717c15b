"""Look at pictures with a model, and see whether it finds what its card promises.

For people who bring a model: `python -m object_detection.check --card model/model.yaml --pictures
pictures --output out` prints one JSON document and draws the boxes into JPEGs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from object_detection import annotate, detector
from object_detection.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from object_detection.card import Card, Golden
    from object_detection.decode import Picture
    from object_detection.postprocess import Detection

_MAX_PIXELS = 200_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a model. Exit codes: 0 it keeps its promises, 1 it does not or cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--card", type=Path, required=True, help="the model's card")
    parser.add_argument("--pictures", type=Path, required=True, help="where golden pictures lie")
    parser.add_argument("--picture", type=Path, help="one picture instead of the golden ones")
    parser.add_argument(
        "--present", action="store_true", help="only the golden pictures that lie there"
    )
    parser.add_argument("--output", type=Path, help="where annotated pictures go")
    options = parser.parse_args(arguments)
    if not options.present and options.output is None:
        parser.error("name a folder for annotated pictures: --output")
    try:
        if options.present:
            document = check_present(options.card, options.pictures)
        else:
            document = check_model(options.card, options.pictures, options.picture, options.output)
    except (DetectionError, OSError) as error:
        document = {"error": str(error)}
    json.dump(document, sys.stdout)
    return 0 if not document.get("error") and not document["missed"] else 1


def check_model(card: Path, folder: Path, picture: Path | None, output: Path) -> dict[str, Any]:
    """Return what the model of a card finds in a picture, or in the golden ones of a folder.

    Raises DetectionError if the card, the model or a picture cannot be used, and OSError if an
    annotated picture cannot be written.
    """
    loaded = detector.Detector.load(card)
    names = dict.fromkeys(golden.picture for golden in loaded.card.golden)
    named = {name: folder / name for name in names} if picture is None else {picture.name: picture}
    if not named:
        raise DetectionError("the card names no golden pictures; look at one with --picture FILE")
    output.mkdir(parents=True, exist_ok=True)
    pictures = [_look(loaded, name, path, output) for name, path in named.items()]
    return {
        "model": {
            "name": loaded.card.name,
            "version": loaded.card.version,
            "file": loaded.card.model.name,
            "family": loaded.family,
            "labels": len(loaded.card.labels),
        },
        "pictures": pictures,
        "missed": [reason for entry in pictures for reason in entry.pop("missed")],
    }


def check_present(card: Path, folder: Path) -> dict[str, Any]:
    """Return which promises the model of a card breaks, of those whose pictures lie in a folder.

    Raises DetectionError if the card, the model or a picture cannot be used.
    """
    return {"missed": find_missed(detector.Detector.load(card), folder)}


def find_missed(loaded: detector.Detector, folder: Path) -> list[str]:
    """Return one sentence for each promise about a picture in a folder that is not kept.

    An installed model has its pictures beside it, whatever folder its card names them in. Raises
    DetectionError if a picture cannot be used.
    """
    missed: list[str] = []
    for name in dict.fromkeys(golden.picture for golden in loaded.card.golden):
        path = folder / Path(name).name
        if path.is_file():
            found = loaded.analyse(str(path), _MAX_PIXELS, loaded.thresholds(None, None))
            missed += _missed(loaded.card, name, found.picture, found.detections)
    return missed


def _look(loaded: detector.Detector, name: str, path: Path, output: Path) -> dict[str, Any]:
    try:
        found = loaded.analyse(str(path), _MAX_PIXELS, loaded.thresholds(None, None))
    except DetectionError as error:
        raise DetectionError(f"cannot look at {path}: {error}") from error
    annotated = output / f"{path.stem}.jpg"
    annotated.write_bytes(
        annotate.draw_detections(found.picture.pixels, found.detections, found.picture.width)
    )
    return {
        "picture": path.name,
        "width": found.picture.width,
        "height": found.picture.height,
        "detections": [
            {"label": item.label, "class_id": item.class_id, "score": item.score, "box": item.box}
            for item in found.detections
        ],
        "timings_ms": found.timings,
        "annotated": str(annotated),
        "missed": list(_missed(loaded.card, name, found.picture, found.detections)),
    }


def _missed(
    card: Card, name: str, picture: Picture, detections: Sequence[Detection]
) -> Iterator[str]:
    """Yield one sentence for each promise about this picture that is not kept."""
    for golden in card.golden:
        if golden.sha256 == picture.sha256:
            yield from _compare(golden, name, detections)
        elif golden.picture == name:
            yield f"{name} is another picture than the card means: its SHA-256 is {picture.sha256}"


def _compare(golden: Golden, name: str, detections: Sequence[Detection]) -> Iterator[str]:
    best = max((item.score for item in detections if item.label == golden.label), default=None)
    if best is None:
        seen = ", ".join(dict.fromkeys(item.label for item in detections)) or "nothing"
        yield f"no {golden.label} in {name}: the model finds {seen}"
    elif best < golden.score:
        yield f"{golden.label} in {name} has score {best:g}, the card promises {golden.score:g}"


if __name__ == "__main__":
    sys.exit(main())
