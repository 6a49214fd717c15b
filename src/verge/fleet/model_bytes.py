"""Let a network take the bytes of a picture: what the card says of scaling moves into it.

The runtime scales with all its threads in a part of the time that it takes outside, and a quarter
of the memory is handed over. The network finds the same; the card then says `type: uint8`.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from verge.fleet import files, models
from verge.fleet.errors import FleetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verge.fleet.project import Project

BYTES = "uint8"
_PREFIX = "verge_bytes_"
"""Of the names in the network that are ours."""
_CHANNELS = {"NCHW": (1, 3, 1, 1), "NHWC": (1, 1, 1, 3), "CHW": (3, 1, 1)}
"""The shape of a value per channel in each layout."""


def take_bytes(where: Project, file: Path) -> Path:
    """Change the model of a card, and the card with it; return the card.

    `file` is the card or the `.onnx` file beside one. Both stay as they are, and FleetError is
    raised, if the network takes bytes already, cannot be changed, or misses what its card promises.
    """
    card = models.find_card(where, file)
    shown = where.relative(card)
    text = card.read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    models.check_model(where, card)  # Says what is wrong with a card or a model that is no good.
    if document["input"].get("type") == BYTES:
        raise FleetError(
            f"{shown}: the network takes bytes already",
            "there is nothing to do; inv model-check shows what it finds",
        )
    model = card.parent / document["file"]
    changed = _change_network(model, document["input"])
    described = _change_card(text, document, hashlib.sha256(changed).hexdigest())
    with tempfile.TemporaryDirectory(prefix="verge-bytes-") as folder:
        tried = Path(folder) / card.name
        (tried.parent / model.name).write_bytes(changed)
        tried.write_text(described, encoding="utf-8")
        missed = models.check_model(where, tried).missed
    if missed:
        raise FleetError(
            f"{shown}: with bytes the network misses what the card promises: {'; '.join(missed)}",
            "the model and its card are as they were",
        )
    files.write_atomic(model, changed)
    files.write_atomic(card, described.encode())
    return card


def _change_network(file: Path, described: Mapping[str, Any]) -> bytes:
    """Return the network with an input of bytes, which it scales as the card describes."""
    import onnx
    from onnx import helper

    model = onnx.load(str(file))
    graph = model.graph
    [entry] = [given for given in graph.input if given.name == described["name"]]
    tensor = entry.type.tensor_type
    scaled = f"{_PREFIX}scaled"
    for node in graph.node:
        for number, name in enumerate(node.input):
            if name == entry.name:
                node.input[number] = scaled
    value = f"{_PREFIX}fractions"
    steps = [helper.make_node("Cast", [entry.name], [value], to=tensor.elem_type)]
    std = [float(one) for one in described["std"]]
    for kind, values in (
        ("Mul", [1 / (described["divide"] * one) for one in std]),
        ("Sub", [mean / one for mean, one in zip(described["mean"], std, strict=True)]),
    ):
        if kind == "Sub" and not any(values):
            continue
        constant, result = f"{_PREFIX}{kind}_by", f"{_PREFIX}{kind}"
        graph.initializer.append(
            helper.make_tensor(constant, tensor.elem_type, _CHANNELS[described["layout"]], values)
        )
        steps.append(helper.make_node(kind, [value, constant], [result]))
        value = result
    steps[-1].output[0] = scaled
    for number, step in enumerate(steps):
        graph.node.insert(number, step)
    tensor.elem_type = onnx.TensorProto.UINT8
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = str(error).splitlines()[0]
        raise FleetError(
            f"cannot scale inside {file.name}: {reason}",
            "export it with an input of bytes, or leave it as it is",
        ) from error
    data: bytes = model.SerializeToString()
    return data


def _change_card(text: str, document: dict[str, Any], sha256: str) -> str:
    """Return the text of a card for a network that takes bytes; comments stay."""
    plain = {"type": BYTES, "divide": 1, "mean": [0, 0, 0], "std": [1, 1, 1]}
    wanted = document | {"sha256": sha256, "input": document["input"] | plain}
    text = re.sub(r"(?m)^sha256:.*$", f"sha256: {sha256}", text, count=1)
    for key, value in (("divide", "1"), ("mean", "[0, 0, 0]"), ("std", "[1, 1, 1]")):
        text = re.sub(rf"(?m)^( +){key}:.*$", rf"\g<1>{key}: {value}", text, count=1)
    without = re.sub(r"(?m)^ +type:.*\n", "", text, count=1)
    text = re.sub(r"(?m)^( +)layout:(.*)$", rf"\1layout:\2\n\1type: {BYTES}", without, count=1)
    with contextlib.suppress(yaml.YAMLError):
        if yaml.safe_load(text) == wanted:
            return text
    raise FleetError(
        "cannot change the card: its input is not written one key a line",
        f"write it so; {models.GUIDE} has the keys",
    )
