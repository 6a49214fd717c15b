"""Weights for networks that nobody trained: drawn at random, so that scores and boxes spread."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

SEED = 5
HEIGHT, WIDTH = 96, 160
"""Of all exported inputs, unequal so that none is taken for the other."""
CENTRED, TOP_LEFT = 2, WIDTH
"""Which part of the grey lies before a picture: a half of it, or less than a pixel."""
PICTURES = Path(__file__).parents[4] / "pictures"


def draw(
    network: Any,
    prepare: Callable[[torch.Tensor], Any] = lambda pictures: pictures,
    part: int = CENTRED,
) -> Any:
    """Draw every weight anew and let normalisation learn from a few pictures.

    `prepare` makes what the network takes from pictures in RGB, from 0 to 1; `part` of the grey
    beside a letterboxed picture lies before it.
    """
    torch.manual_seed(SEED)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.requires_grad:
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.05)
    network.eval()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
            norm.train()
    with torch.no_grad():
        network(prepare(read_pictures(part)))
    return network.eval()


def read_pictures(part: int) -> torch.Tensor:
    """Return real pictures from 0 to 1 as the detector prepares them: stretched, letterboxed."""
    found = []
    for name in ("chelsea.png", "astronaut.png"):
        with Image.open(PICTURES / name) as opened:
            pixels = torch.from_numpy(np.array(opened.convert("RGB"), np.float32) / 255)
        found += [resize(pixels, HEIGHT, WIDTH), letterbox(pixels, part)]
    return torch.cat(found)


def resize(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    picture = pixels.permute(2, 0, 1)[None]
    return functional.interpolate(picture, (height, width), mode="bilinear")


def letterbox(pixels: torch.Tensor, part: int) -> torch.Tensor:
    ratio = min(HEIGHT / pixels.shape[0], WIDTH / pixels.shape[1])
    height, width = round(pixels.shape[0] * ratio), round(pixels.shape[1] * ratio)
    left, top = (WIDTH - width) // part, (HEIGHT - height) // part
    beside = (left, WIDTH - width - left, top, HEIGHT - height - top)
    return functional.pad(resize(pixels, height, width), beside, value=114 / 255)
