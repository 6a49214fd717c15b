"""Export the original YOLOv5 without training: python export_yolov5.py FOLDER."""

import sys
from pathlib import Path

import torch
import weights
import yolov5
from yolov5 import export
from yolov5.models import yolo


def main(folder: str) -> None:
    definition = Path(yolov5.__file__).parent / "models" / "yolov5n.yaml"
    network = weights.draw(yolo.DetectionModel(str(definition)))
    network.model[-1].export = True
    picture = torch.zeros(1, 3, weights.HEIGHT, weights.WIDTH)
    export.export_onnx(network, picture, Path(folder, "v5.pt"), 17, False, False)


if __name__ == "__main__":
    main(sys.argv[1])
