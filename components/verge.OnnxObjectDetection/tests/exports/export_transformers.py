"""Export detectors of transformers without training: python export_transformers.py FOLDER."""

import sys
from pathlib import Path
from typing import Any

import torch
import transformers
import weights
from torch import nn

CLASSES = 5
SMALL_RESNET = {
    "embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1],
    "layer_type": "basic",
}  # fmt: skip
QUERIES = 30


class Plain(nn.Module):
    """Pixels in, the two outputs that matter out."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.network(pixel_values=pixel_values)
        return found.logits, found.pred_boxes


def make_detr() -> Any:
    backbone = transformers.ResNetConfig(**SMALL_RESNET, out_features=["stage4"])
    return transformers.DetrForObjectDetection(
        transformers.DetrConfig(
            use_timm_backbone=False, use_pretrained_backbone=False, backbone_config=backbone,
            backbone=None, num_labels=CLASSES, num_queries=QUERIES, d_model=16,
            encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        )
    )  # fmt: skip


def make_rt_detr() -> Any:
    backbone = transformers.RTDetrResNetConfig(
        **SMALL_RESNET, out_features=["stage2", "stage3", "stage4"]
    )
    return transformers.RTDetrForObjectDetection(
        transformers.RTDetrConfig(
            backbone_config=backbone, num_labels=CLASSES, num_queries=QUERIES,
            encoder_in_channels=[8, 16, 16], encoder_hidden_dim=32, d_model=32,
            decoder_in_channels=[32, 32, 32], encoder_ffn_dim=32, decoder_ffn_dim=32,
            encoder_attention_heads=2, decoder_attention_heads=2, decoder_layers=1,
            anchor_image_size=None,
        )
    )  # fmt: skip


def make_d_fine() -> Any:
    backbone = transformers.HGNetV2Config(
        stem_channels=[3, 8, 8], hidden_sizes=[16, 16, 24, 32],
        stage_in_channels=[8, 16, 16, 24], stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[16, 16, 24, 32], stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    return transformers.DFineForObjectDetection(
        transformers.DFineConfig(
            backbone_config=backbone, num_labels=CLASSES, num_queries=QUERIES,
            encoder_in_channels=[16, 24, 32], encoder_hidden_dim=32, d_model=32,
            decoder_in_channels=[32, 32, 32], encoder_ffn_dim=32, decoder_ffn_dim=32,
            encoder_attention_heads=2, decoder_attention_heads=2, decoder_layers=2,
            anchor_image_size=None,
        )
    )  # fmt: skip


NETWORKS = {"detr": make_detr, "rt_detr": make_rt_detr, "d_fine": make_d_fine}


def main(folder: str) -> None:
    for name, make in NETWORKS.items():
        torch.manual_seed(weights.SEED)
        network = weights.draw(Plain(make()))
        torch.onnx.export(
            network,
            (torch.rand(1, 3, weights.HEIGHT, weights.WIDTH),),
            str(Path(folder, f"{name}.onnx")),
            input_names=["pixel_values"],
            output_names=["logits", "pred_boxes"],
            dynamo=False,
            opset_version=17,
        )


if __name__ == "__main__":
    main(sys.argv[1])
