"""Export detectors of torchvision without training: python export_torchvision.py FOLDER."""

import sys
from pathlib import Path
from typing import Any

import torch
import weights
from torch import nn
from torchvision.models import detection
from torchvision.models.detection import anchor_utils, faster_rcnn
from torchvision.ops import MultiScaleRoIAlign

CLASSES = 4
"""With the background."""
CHANNELS = 8
SIZES = {"min_size": weights.HEIGHT, "max_size": weights.WIDTH}


def make_backbone() -> Any:
    layers = [nn.Conv2d(3 if n == 0 else CHANNELS, CHANNELS, 3, 2, 1) for n in range(4)]
    backbone = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
    backbone.out_channels = CHANNELS
    return backbone


def make_anchors() -> Any:
    return anchor_utils.AnchorGenerator(((16, 32, 64),), ((0.5, 1.0, 2.0),))


def make_ssdlite() -> Any:
    return detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )


def make_retinanet() -> Any:
    anchors = make_anchors()
    return detection.RetinaNet(make_backbone(), CLASSES, anchor_generator=anchors, **SIZES)


def make_faster_rcnn() -> Any:
    return detection.FasterRCNN(
        make_backbone(),
        rpn_anchor_generator=make_anchors(),
        rpn_pre_nms_top_n_test=100,
        rpn_post_nms_top_n_test=50,
        box_roi_pool=MultiScaleRoIAlign(["0"], 3, 2),
        box_head=faster_rcnn.TwoMLPHead(CHANNELS * 9, 16),
        box_predictor=faster_rcnn.FastRCNNPredictor(16, CLASSES),
        **SIZES,
    )


# The names in the order in which each returns its outputs.
FIRST_LABELS = ["boxes", "labels", "scores"]
FIRST_SCORES = ["boxes", "scores", "labels"]
EXPORTS: dict[str, Any] = {
    "ssdlite": (make_ssdlite, FIRST_SCORES),
    "ssdlite_unnamed": (make_ssdlite, None),
    "retinanet": (make_retinanet, FIRST_SCORES),
    "faster_rcnn": (make_faster_rcnn, FIRST_LABELS),
}


def main(folder: str) -> None:
    for name, (make, names) in EXPORTS.items():
        torch.onnx.export(
            weights.draw(make(), list),
            ([torch.rand(3, weights.HEIGHT, weights.WIDTH)],),
            str(Path(folder, f"{name}.onnx")),
            input_names=["image"],
            output_names=names,
            dynamo=False,
            opset_version=17,
        )


if __name__ == "__main__":
    main(sys.argv[1])
