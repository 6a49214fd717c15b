"""Export YOLOX without training, raw and decoded: python export_yolox.py FOLDER."""

import sys
from pathlib import Path

import torch
import weights
from torch import nn
from yolox import models

CLASSES = 5


def make() -> nn.Module:
    """Return the network of YOLOX-Nano, a half as wide."""
    width, channels = 0.125, [256, 512, 1024]
    neck = models.YoloPafpn(0.33, width, in_channels=channels, depthwise=True)
    head = models.YoloxHead(CLASSES, width, in_channels=channels, depthwise=True)
    network = models.YoloxModule(neck, head)
    return weights.draw(network, lambda pictures: 255 * pictures.flip(1), weights.TOP_LEFT)


def main(folder: str) -> None:
    for name, decoded in (("raw", False), ("decoded", True)):
        network = make()
        network.head.decode_in_inference = decoded
        torch.onnx.export(
            network,
            (torch.rand(1, 3, weights.HEIGHT, weights.WIDTH),),
            str(Path(folder, f"{name}.onnx")),
            input_names=["images"],
            output_names=["output"],
            dynamic_axes={"images": {0: "batch"}, "output": {0: "batch"}},
            dynamo=False,
            opset_version=17,
        )


if __name__ == "__main__":
    main(sys.argv[1])
