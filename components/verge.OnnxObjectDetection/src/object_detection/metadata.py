"""What a model says about itself: the metadata that Ultralytics writes into its exports."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from object_detection.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 1_000_000
"""Characters of a value; the names of ten thousand classes need fewer."""
_PARSE_ERRORS = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
_ROWS_OF_SIX = "ultralytics_end_to_end"
_RTDETR = ("ultralytics_rtdetr", "ultralytics_rtdetr_scores")


@dataclass(frozen=True)
class Metadata:
    """The part that matters to a detector."""

    labels: tuple[str, ...] = ()
    """By class number; empty if the model does not say."""
    families: tuple[str, ...] = ()
    """The output families that are possible; empty if the model does not say."""


def read_metadata(values: Mapping[str, str]) -> Metadata:
    """Read the metadata of a model, whose values are Python literals as text.

    A model without it is no mistake. Raises ModelError for another task than detection and for
    names that cannot be read.
    """
    if "names" not in values or "stride" not in values:
        return Metadata()
    # The original YOLOv5 writes names and stride as well, but no task.
    task = values.get("task")
    if task not in {None, "detect"}:
        raise ModelError(
            f"its metadata says that its task is {task}, not detect; export a detector"
        )
    families = _possible_families(values) if task else ()
    return Metadata(_read_labels(values["names"]), families)


def _possible_families(values: Mapping[str, str]) -> tuple[str, ...]:
    head = values.get("head")
    if head == "RTDETRDecoder":
        return _RTDETR
    arguments = _parse(values.get("args", "{}"))
    suppressed = isinstance(arguments, dict) and arguments.get("nms") is True
    if suppressed or values.get("end2end") == "True":
        return (_ROWS_OF_SIX,)
    if head is not None:
        return ("ultralytics_v8",)
    # Older exports do not name their head, and some not whether they are end to end.
    end_to_end = () if values.get("end2end") == "False" else (_ROWS_OF_SIX,)
    return ("ultralytics_v8", *end_to_end, *_RTDETR)


def _read_labels(text: str) -> tuple[str, ...]:
    names = _parse(text)
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        names = [names.get(number) for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError("its metadata has names that are no texts numbered from 0; export it anew")
    return tuple(names)


def _parse(text: str) -> Any:
    """Return a Python literal, or None for all else; nothing is ever executed."""
    if len(text) > _LONGEST:
        return None
    try:
        return ast.literal_eval(text)
    except _PARSE_ERRORS:
        return None
