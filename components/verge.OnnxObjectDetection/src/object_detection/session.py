"""Load a model as its card describes it, and run it."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from object_detection import families, metadata
from object_detection.errors import ModelError
from object_detection.families import base

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from object_detection.card import Card
    from object_detection.families.base import Candidates, Outputs

_ERRORS_ONLY = 3
_TENSORS = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}
"""The runtime's names of `card.TYPES`."""


class Session:
    """A loaded network that agrees with its card."""

    def __init__(self, card: Card, session: Any) -> None:
        about = metadata.read_metadata(session.get_modelmeta().custom_metadata_map)
        self.card = _complete(card, about)
        """With what the card leaves to the metadata of the model."""
        self._input = card.input.name
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self._network = base.Network(len(self.card.labels), card.input.width, card.input.height)
        # One run makes the first picture as quick as the others and shows the output's shape.
        outputs = self._try(np.zeros(_input_shape(card), dtype=card.input.type))
        self.family_name, self.family = families.choose_family(
            card.family, about.families, outputs, self._network
        )

    def run(self, tensor: NDArray[Any]) -> Outputs:
        """Return the outputs by name for one input tensor, fractions as float32."""
        values = self._session.run(self._outputs, {self._input: tensor})
        return {
            name: value if value.dtype.kind != "f" else np.asarray(value, dtype=np.float32)
            for name, value in zip(self._outputs, values, strict=True)
        }

    def _try(self, tensor: NDArray[Any]) -> Outputs:
        try:
            return self.run(tensor)
        except Exception as error:
            # The runtime's own exceptions share no base but Exception.
            shape = list(tensor.shape)
            raise ModelError(f"it does not run on {shape}: {_first_line(error)}") from error

    def read(self, outputs: Outputs, least: float) -> Candidates:
        """Return the candidates with at least the given score."""
        return self.family.read(outputs, self._network, least)


def _complete(card: Card, about: metadata.Metadata) -> Card:
    if not card.labels and not about.labels:
        raise ModelError("neither its card nor its metadata has labels; add labels to the card")
    if card.labels and about.labels and len(card.labels) != len(about.labels):
        raise ModelError(
            f"its card has {len(card.labels)} labels, its metadata has {len(about.labels)} names; "
            "correct the labels of the card or leave them out"
        )
    return dataclasses.replace(card, labels=card.labels or about.labels)


def load_session(card: Card) -> Session:
    """Load the model of a card on the CPU. Raises ModelError."""
    try:
        data = card.model.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model {card.model}: {error.strerror}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"cannot use the model {card.model}: its SHA-256 is {found}, "
            f"the card says {card.sha256}; copy the file again or correct the card"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # Threads that spin between pictures take the processor from the nucleus and the monitor.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # The runtime's own exceptions share no base but Exception.
        raise ModelError(f"cannot load the model {card.model}: {_first_line(error)}") from error
    _check_input(card, session)
    _check_outputs(card, session)
    try:
        return Session(card, session)
    except ModelError as error:
        raise ModelError(f"cannot use the model {card.model}: {error}") from error


def _check_input(card: Card, session: Any) -> None:
    inputs = {entry.name: entry for entry in session.get_inputs()}
    wanted = f"one input {card.input.name} {card.input.type} {list(_input_shape(card))}"
    found = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs.values())
    entry = inputs.get(card.input.name)
    if (
        len(inputs) != 1
        or entry is None
        or entry.type != _TENSORS[card.input.type]
        or not _agrees(card, entry.shape)
    ):
        raise ModelError(
            f"cannot use the model {card.model}: the card wants {wanted}, the model has {found}"
        )


def _check_outputs(card: Card, session: Any) -> None:
    for entry in session.get_outputs():
        if not entry.type.startswith("tensor("):
            raise ModelError(
                f"cannot use the model {card.model}: its output {entry.name} is {entry.type}, "
                "not a tensor; export it with plain tensors"
            )


def _agrees(card: Card, shape: list[int | str | None]) -> bool:
    """Return whether every fixed dimension of the model is the card's."""
    wanted = _input_shape(card)
    return len(shape) == len(wanted) and all(
        not isinstance(found, int) or found == expected
        for found, expected in zip(shape, wanted, strict=True)
    )


def _input_shape(card: Card) -> tuple[int, ...]:
    height, width = card.input.height, card.input.width
    shapes = {"NCHW": (1, 3, height, width), "NHWC": (1, height, width, 3)}
    return shapes.get(card.input.layout, (3, height, width))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
