"""Output families: how boxes and scores are read from what a network returns.

To add one, write a module with a `Family` and name it in `FAMILIES`. A card names its family, or
the metadata of the model does; shapes alone cannot tell them apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from object_detection.errors import ModelError
from object_detection.families import detr, nanodet, ssd, torchvision, ultralytics, yolox

if TYPE_CHECKING:
    from collections.abc import Iterable

    from object_detection.families.base import Family, Network, Outputs

FAMILIES: dict[str, Family] = {
    "ultralytics_v8": ultralytics.V8,
    "ultralytics_v5": ultralytics.V5,
    "ultralytics_end_to_end": ultralytics.END_TO_END,
    "ultralytics_rtdetr": ultralytics.RTDETR,
    "ultralytics_rtdetr_scores": ultralytics.RTDETR_SCORES,
    "yolox": yolox.RAW,
    "yolox_decoded": yolox.DECODED,
    "ssd_mobilenet": ssd.SSD_MOBILENET,
    "detr": detr.DETR,
    "rt_detr": detr.RT_DETR,
    "rf_detr": detr.RF_DETR,
    "torchvision": torchvision.TORCHVISION,
    "nanodet": nanodet.NANODET,
    "nanodet_plus": nanodet.NANODET_PLUS,
}


def choose_family(
    name: str | None, hints: Iterable[str], outputs: Outputs, network: Network
) -> tuple[str, Family]:
    """Return the family the card names, or the only one of the hints that fits the outputs.

    `hints` are the families that the metadata of the model leaves possible. Raises ModelError with
    the choices if there is no name and no certainty, for an unknown name, and if the outputs do not
    have the shape of the family.
    """
    found = ", ".join(f"{key} {list(value.shape)}" for key, value in outputs.items())
    if name is None:
        certain = [hint for hint in hints if FAMILIES[hint].fits(outputs, network)]
        if len(certain) == 1:
            return certain[0], FAMILIES[certain[0]]
        fitting = [key for key, family in FAMILIES.items() if family.fits(outputs, network)]
        if not fitting:
            raise ModelError(
                f"no output family fits {found} with nc = {network.classes} labels; "
                f"correct the labels of the card, or export one of: {', '.join(FAMILIES)}"
            )
        raise ModelError(
            f"the card names no output family and the shape cannot tell ({found}); "
            f"set output/family to one of: {', '.join(certain or fitting)}"
        )
    family = FAMILIES.get(name)
    if family is None:
        choices = ", ".join(FAMILIES)
        raise ModelError(f"the output family {name!r} is unknown; the choices are: {choices}")
    if not family.fits(outputs, network):
        raise ModelError(
            f"the output family {name} wants {family.shape} with nc = {network.classes} labels, "
            f"the model returns {found}; correct output/family or the labels of the card"
        )
    return name, family
