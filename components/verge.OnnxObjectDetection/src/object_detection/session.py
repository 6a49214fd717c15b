"""Load a model as its card describes it, and run it."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from object_detection import cores, families, metadata
from object_detection.errors import ModelError
from object_detection.families import base

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from object_detection.card import Card
    from object_detection.families.base import Candidates, Outputs

CPU = "CPUExecutionProvider"
MOST_TOGETHER = 4
"""Pictures in one run of the network; more gains nothing on a processor and costs memory."""

MOST_LOOKERS = 4
"""Pictures that are looked at side by side in a backlog; each of them is in memory, decoded."""
MOST_TWICE = 64 << 20
"""Bytes of a model that may be in memory twice, for backlogs."""

_log = logging.getLogger(__name__)
_ERRORS_ONLY = 3
_TENSORS = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
"""What the runtime calls `card.TYPES`."""
_FRACTIONS = ("float32", "float16")


@dataclass(frozen=True)
class Running:
    """How the network is to run."""

    threads: int | None = None
    """None: as many as there are cores for this component."""
    providers: tuple[str, ...] = ()
    """Execution providers in order of preference; the processor always comes last."""


class Session:
    """A loaded network that agrees with its card."""

    def __init__(self, card: Card, session: Any, crowded: Any = None) -> None:
        """`crowded` is the same network for several runs at once; None: `session` has to do."""
        about = metadata.read_metadata(session.get_modelmeta().custom_metadata_map)
        self.card = _complete(card, about)
        """With what the card leaves to the metadata of the model."""
        self._input = card.input.name
        self._session = session
        self._crowded = crowded or session
        self._outputs = [output.name for output in session.get_outputs()]
        self._network = base.Network(len(self.card.labels), card.input.width, card.input.height)
        # One run makes the first picture as quick as the others and shows the output's shape.
        outputs = self._try(np.zeros(_input_shape(card), dtype=card.input.type))
        self.family_name, self.family = families.choose_family(
            card.family, about.families, outputs, self._network
        )
        self.batch = self._find_batch(outputs)
        """How many pictures the network takes at once; 1 unless it was exported for more."""

    @property
    def threads(self) -> int:
        """How many threads one run of the network uses."""
        return int(self._session.get_session_options().intra_op_num_threads)

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers at work, in order of preference."""
        return tuple(self._session.get_providers())

    @property
    def lookers(self) -> int:
        """How many runs at once keep the cores busiest."""
        return 1 if self._crowded is self._session else min(self.threads, MOST_LOOKERS)

    def run(self, tensor: NDArray[Any], *, alone: bool = True) -> Outputs:
        """Return the outputs by name for one input tensor, fractions as float32.

        A run that is not `alone` leaves a part of the cores to the others.
        """
        session = self._session if alone else self._crowded
        values = session.run(self._outputs, {self._input: tensor})
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

    def _find_batch(self, alone: Outputs) -> int:
        """Try whether two pictures together give outputs of which each is one picture's."""
        shape = _input_shape(self.card)
        if isinstance(self._session.get_inputs()[0].shape[0], int) or len(shape) == 3:
            return 1
        try:
            together = self.run(np.zeros((2, *shape[1:]), dtype=self.card.input.type))
        except Exception as error:  # noqa: BLE001 - the runtime's own share no other base
            _log.info("Pictures are looked at one by one reason=%s", _first_line(error))
            return 1
        for name, value in alone.items():
            if not value.ndim or value.shape[0] != 1:
                return 1
            if together[name].shape != (2, *value.shape[1:]):
                return 1
        return MOST_TOGETHER

    def read(self, outputs: Outputs, least: float) -> Candidates:
        """Return the candidates with at least the given score."""
        return self.family.read(outputs, self._network, least)


def part(outputs: Outputs, number: int, count: int) -> Outputs:
    """Return the outputs for one of the pictures that were looked at together."""
    if count == 1:
        return outputs
    return {name: value[number : number + 1] for name, value in outputs.items()}


def _complete(card: Card, about: metadata.Metadata) -> Card:
    if not card.labels and not about.labels:
        raise ModelError("neither its card nor its metadata has labels; add labels to the card")
    if card.labels and about.labels and len(card.labels) != len(about.labels):
        raise ModelError(
            f"its card has {len(card.labels)} labels, its metadata has {len(about.labels)} names; "
            "correct the labels of the card or leave them out"
        )
    return dataclasses.replace(card, labels=card.labels or about.labels)


def load_session(card: Card, running: Running | None = None) -> Session:
    """Load the model of a card. Raises ModelError."""
    running = running or Running()
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
    threads = running.threads or cores.count_available()
    providers = _choose_providers(running.providers)
    session = _create(card.model, data, _options(threads), providers)
    crowded = None
    if threads > 1 and session.get_providers() == [CPU] and len(data) <= MOST_TWICE:
        # Threads that share one picture wait for one another after every layer.
        share = math.ceil(threads / MOST_LOOKERS)  # No core is to stay idle.
        crowded = _create(card.model, data, _options(share), [CPU])
    try:
        card = _settle_input(card, session)
        _check_outputs(session)
        return Session(card, session, crowded)
    except ModelError as error:
        raise ModelError(f"cannot use the model {card.model}: {error}") from error


def open_model(model: Path, data: bytes) -> Any:
    """Return the runtime's session of a model without a card. Raises ModelError."""
    return _create(model, data, _quiet_options(), [CPU])


def show_tensors(entries: Iterable[Any]) -> str:
    """Return name, type and shape of inputs or outputs, for people."""
    return ", ".join(
        f"{entry.name} {_TENSORS.get(entry.type, entry.type)} {entry.shape}" for entry in entries
    )


def _options(threads: int) -> Any:
    options = _quiet_options()
    # Threads that spin between pictures take the processor from the nucleus and the monitor.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = threads
    return options


def _quiet_options() -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    return options


def _choose_providers(wanted: tuple[str, ...]) -> list[str]:
    """Return those of the wanted providers that this runtime has, the processor last."""
    available = onnxruntime.get_available_providers()
    for name in wanted:
        if name not in available:
            _log.warning(
                "Execution provider skipped provider=%s reason=this runtime has only %s",
                *(name, ", ".join(available)),
            )
    return [name for name in dict.fromkeys(wanted) if name in available and name != CPU] + [CPU]


def _create(model: Path, data: bytes, options: Any, providers: list[str]) -> Any:
    """Make the runtime's session, on the processor if nothing better works. Raises ModelError."""
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception as error:
        # The runtime's own exceptions share no base but Exception.
        if providers == [CPU]:
            raise ModelError(f"cannot load the model {model}: {_first_line(error)}") from error
        _log.warning("Execution providers failed reason=%s", _first_line(error))
    return _create(model, data, options, [CPU])


def _settle_input(card: Card, session: Any) -> Card:
    """Return the card with the type of the model's input, which is to be as the card says."""
    inputs = session.get_inputs()
    if (advice := _find_fault(card, inputs)) is not None:
        types = (card.input.type,) if card.input.type else _FRACTIONS
        raise ModelError(
            f"the card wants one input {card.input.name} {' or '.join(types)} "
            f"{list(_input_shape(card))}, the model has {show_tensors(inputs)}; {advice}"
        )
    settled = dataclasses.replace(card.input, type=_TENSORS[inputs[0].type])
    return dataclasses.replace(card, input=settled)


def _find_fault(card: Card, inputs: Sequence[Any]) -> str | None:
    """Return what to do about inputs that are not the card's, None if they are."""
    if len(inputs) != 1:
        return "export it so that the picture is its only input"
    [entry] = inputs
    if entry.name != card.input.name:
        return "correct input/name of the card"
    kind = _TENSORS.get(entry.type)
    if kind is None:
        return f"export it for one of {', '.join(_TENSORS.values())}"
    if kind not in ((card.input.type,) if card.input.type else _FRACTIONS):
        return "correct input/type of the card"
    if _agrees(card, entry.shape):
        return None
    if _agrees(card, [1, *entry.shape[1:]]):
        return "export it for one picture, or for any number"
    return "correct input/size or input/layout of the card"


def _check_outputs(session: Any) -> None:
    for entry in session.get_outputs():
        if not entry.type.startswith("tensor("):
            raise ModelError(
                f"its output {entry.name} is {entry.type}, not a tensor; "
                "export it with plain tensors"
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
