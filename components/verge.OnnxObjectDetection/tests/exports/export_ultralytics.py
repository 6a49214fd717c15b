"""Export detectors of Ultralytics without training: python export_ultralytics.py FOLDER."""

import os
import sys
from pathlib import Path
from typing import Any

import onnx
import ultralytics
import weights
import yaml
from onnxruntime.transformers import float16
from ultralytics import RTDETR, YOLO

EXPORTS: dict[str, tuple[str, dict[str, Any]]] = {
    "v8": ("yolov8n.yaml", {}),
    "v8_any_batch": ("yolov8n.yaml", {"dynamic": True}),
    "v8_half_inside": ("yolov8n.yaml", {"quantize": 16}),
    "v8_suppressed": ("yolov8n.yaml", {"nms": True}),
    "v5u": ("yolov5n.yaml", {}),
    "v10": ("yolov10n.yaml", {}),
    "v10_end_to_end": ("yolov10n.yaml", {"end2end": True}),
    "v11": ("yolo11n.yaml", {}),
    "v26": ("yolo26n.yaml", {}),
    "v26_end_to_end": ("yolo26n.yaml", {"end2end": True}),
    "v8_segmentation": ("yolov8n-seg.yaml", {}),
}


def write_small_rtdetr() -> str:
    """Write the definition of RT-DETR with a quarter of its width."""
    models = Path(ultralytics.__file__).parent / "cfg" / "models"
    definition = yaml.safe_load((models / "rt-detr" / "rtdetr-l.yaml").read_text(encoding="utf-8"))
    definition["scales"] = {"l": [0.33, 0.25, 1024]}
    Path("rtdetr-l.yaml").write_text(yaml.safe_dump(definition), encoding="utf-8")
    return "rtdetr-l.yaml"


def export(name: str, model: Any, options: dict[str, Any]) -> None:
    weights.draw(model.model)
    size = [weights.HEIGHT, weights.WIDTH]
    made = model.export(format="onnx", imgsz=size, simplify=False, device="cpu", **options)
    Path(made).rename(f"{name}.onnx")


def main(folder: str) -> None:
    os.chdir(folder)
    for name, (definition, options) in EXPORTS.items():
        export(name, YOLO(definition), options)
    export("rtdetr", RTDETR(write_small_rtdetr()), {})
    # As the package exports with half=True on a GPU: input and output in half precision, too.
    onnx.save(float16.convert_float_to_float16(onnx.load("v8.onnx")), "v8_half.onnx")


if __name__ == "__main__":
    main(sys.argv[1])
