"""Write a network as ONNX, in the layout and with the metadata of an Ultralytics v8 export."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING

import onnx
import torch  # type: ignore[import-not-found]

from training import card, network

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_OPSET = 18


def export_network(
    model: network.ScratchNetwork,
    path: Path,
    size: tuple[int, int],
    labels: Sequence[str],
    about: dict[str, str],
) -> None:
    """Write `path`: input `images` [n, 3, H, W], output `output0` [n, 4 + labels, cells].

    Names, stride and size stand in the metadata, so that the file explains itself without its
    card; `about` is added to them.
    """
    # Two pictures, since an export with one takes the number for a constant.
    example = torch.zeros(2, 3, size[1], size[0])
    program = _export_quietly(network.Exported(model).eval(), example)
    document: onnx.ModelProto = program.model_proto
    values = {
        "task": "detect",
        "head": "Detect",
        "names": repr(dict(enumerate(labels))),
        "stride": str(network.STRIDE),
        "imgsz": repr([size[1], size[0]]),
        **about,
    }
    del document.metadata_props[:]
    onnx.helper.set_model_props(document, values)
    document.producer_name, document.producer_version = "verge.ScratchModel", ""
    _forget_sources(document)
    onnx.checker.check_model(document, full_check=True)
    path.write_bytes(document.SerializeToString(deterministic=True))


def _export_quietly(model: torch.nn.Module, example: torch.Tensor) -> torch.onnx.ONNXProgram:
    """Export without the exporter's progress marks and its notes to its own developers."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            model,
            (example,),
            input_names=[card.INPUT],
            output_names=["output0"],
            opset_version=_OPSET,
            dynamic_shapes={"pictures": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )


def _forget_sources(document: onnx.ModelProto) -> None:
    """Take out where in which file of this machine each operation was written."""
    for item in (*document.graph.node, *document.graph.value_info, document.graph):
        del item.metadata_props[:]
        item.doc_string = ""
