"""Train verge.ScratchModel, measure it and write network and card, in one command.

`python -m training.train --data DIR --out components/verge.ScratchModel/model` takes less than half
an hour on two cores. With `--folds 5` it writes nothing, but trains and measures five networks
instead of one, each on other shots, and prints how much the figures depend on the split.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training import card, data, export, judge, learn
from training.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

LABELS = ("scratch",)
NAME = "scratch-480x320"
VERSION = "1.0.0"
PICTURES = Path(__file__).parents[1] / "pictures"
GOLDEN = "metal-tags"
"""The folder of PICTURES from which the card promises what must be found."""
IOU = 0.6
"""Scratches cross; of 0.4 to 0.7 this did best, or nearly so, on every fold."""
RECALL_WEIGHT = 2.0
"""A scratch that gets through costs more than a tag that somebody looks at twice."""
_GOLDEN_MARGIN = 0.9
"""Other processors round differently; the promise stays below what was measured here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train. Exit codes: 0 done, 1 data or detector cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m training.train")
    parser.add_argument("--data", type=Path, required=True, help="images/ and annotations.json")
    parser.add_argument("--out", type=Path, help="where network and card go")
    parser.add_argument("--folds", type=int, default=0, help="cross-validate instead")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of everything drawn")
    parser.add_argument("--epochs", type=_positive, default=learn.Settings.epochs)
    parser.add_argument("--threads", type=_positive, default=learn.Settings.threads)
    parser.add_argument("--bfloat16", action="store_true", help="faster where processors have it")
    options = parser.parse_args(arguments)
    if (options.out is None) == (options.folds == 0) or options.folds == 1:
        parser.error("name --out, or --folds 2 or more")
    settings = learn.Settings(
        seed=options.seed,
        epochs=options.epochs,
        threads=options.threads,
        bfloat16=options.bfloat16,
    )
    try:
        pictures = data.read_pictures(options.data)
        if options.folds:
            cross_validate(pictures, settings, options.folds)
        else:
            train_model(pictures, settings, options.out)
    except (TrainingError, OSError) as error:
        print(f"ERROR {error}", file=sys.stderr)
        return 1
    return 0


def train_model(pictures: Sequence[data.Picture], settings: learn.Settings, out: Path) -> None:
    """Train on the training shots and write network and card into a folder.

    What lies there is replaced when all is done, not before. Raises TrainingError and OSError.
    """
    started, worked = time.monotonic(), time.process_time()
    split = data.split_shots((item.shot for item in pictures), data.VALIDATION_SHARE, settings.seed)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        network, path = _train(data.select(pictures, split.training), settings, Path(folder))
        judged = judge.Judge(path)
        measured = _measure(judged, data.select(pictures, split.validation), settings, split)
        measured["minutes"] = round((time.monotonic() - started) / 60, 1)
        measured["processor_minutes"] = round((time.process_time() - worked) / 60, 1)
        _write_card(path, network, settings, measured["score"], _promise(judged), measured)
        # The card last: it names the network by its digest.
        for made in (network, path):
            made.replace(out / made.name)
    print(
        f"{out / path.name}: AP50 {measured['ap50']}, at score {measured['score']} precision "
        f"{measured['precision']} and recall {measured['recall']}"
    )


def cross_validate(
    pictures: Sequence[data.Picture], settings: learn.Settings, count: int
) -> list[float]:
    """Train and measure once per fold; print and return the AP50 of each."""
    results = []
    folds = data.make_folds((item.shot for item in pictures), count, settings.seed)
    for number, split in enumerate(folds, start=1):
        with tempfile.TemporaryDirectory() as folder:
            _, path = _train(data.select(pictures, split.training), settings, Path(folder))
            curve = judge.Judge(path).measure(data.select(pictures, split.validation))
        results.append(curve.average_precision)
        print(f"fold {number} of {count}: AP50 {results[-1]:.3f}", flush=True)
    print(f"AP50 {np.mean(results):.3f}, from {min(results):.3f} to {max(results):.3f}")
    return results


def _train(
    pictures: Sequence[data.Picture], settings: learn.Settings, folder: Path
) -> tuple[Path, Path]:
    """Return the network and a card that is good enough to measure it by."""
    network, path = folder / f"{NAME}.onnx", folder / "model.yaml"
    model = learn.train_network(pictures, settings, _report)
    about = {"version": VERSION, "seed": str(settings.seed)}
    export.export_network(model, network, settings.size, LABELS, about)
    _write_card(path, network, settings, judge.LEAST, (), {})
    return network, path


def _measure(
    judged: judge.Judge,
    validation: Sequence[data.Picture],
    settings: learn.Settings,
    split: data.Split,
) -> dict[str, Any]:
    """Choose the threshold, and return all that the card says about quality and origin."""
    curve = judged.measure(validation)
    # Rounded down, so that the detection which sets it stays.
    threshold = max(0.05, math.floor(curve.best_score(RECALL_WEIGHT) * 100) / 100)
    precision, recall = curve.at(threshold)
    return {
        "ap50": round(curve.average_precision, 3),
        "score": threshold,
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "chosen": f"the score where F{RECALL_WEIGHT:g} is highest on the validation shots",
        "pictures": len(validation),
        "scratches": sum(len(item.boxes) for item in validation),
        "seed": settings.seed,
        "epochs": settings.epochs,
        "threads": settings.threads,
        "bfloat16": settings.bfloat16,
        "validation_shots": list(split.validation),
        "training_shots": list(split.training),
    }


def _promise(judged: judge.Judge) -> tuple[card.Golden, ...]:
    """Promise what was found in the pictures of the repository, with a margin."""
    promises = []
    for path in sorted((PICTURES / GOLDEN).glob("*.jpg")):
        _, scores = judged.find(path)
        if len(scores) and scores[0] >= 0.3:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            least = math.floor(float(scores[0]) * _GOLDEN_MARGIN * 100) / 100
            promises.append(card.Golden(f"{GOLDEN}/{path.name}", digest, least))
    return tuple(promises)


def _write_card(
    path: Path,
    network: Path,
    settings: learn.Settings,
    threshold: float,
    golden: tuple[card.Golden, ...],
    measured: dict[str, Any],
) -> None:
    made = card.Card(
        name=NAME,
        version=VERSION,
        model=network,
        size=settings.size,
        labels=LABELS,
        score=threshold,
        iou=IOU,
        golden=golden,
        measured=measured,
    )
    card.write_card(made, path)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _report(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
