"""The training loop."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch  # type: ignore[import-not-found]

from training import augment, data, loss, network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Settings:
    """How to train."""

    seed: int = 0
    epochs: int = 120
    batch: int = 8
    rate: float = 2e-3
    """Highest learning rate."""
    decay: float = 0.05
    """Weight decay."""
    size: tuple[int, int] = (480, 320)
    """Width and height of the input."""
    threads: int = 2
    bfloat16: bool = False
    """Half precision where it does no harm: half the time on processors that have it."""


_WARM_UP = 100
"""Steps until the learning rate is at its highest."""
_AVERAGE = 0.997
"""How slowly the averaged weights follow."""
_WEAK_SHARE = 0.2
"""The last part of the epochs, in which pictures stay close to what the camera sees."""


def train_network(
    pictures: Sequence[data.Picture],
    settings: Settings,
    report: Callable[[str], None],
) -> network.ScratchNetwork:
    """Return a network trained on these pictures, in evaluation mode, with averaged weights.

    The same pictures, settings, processor and library versions give the same weights; another
    processor rounds differently, so its weights differ slightly.
    """
    _prepare(settings)
    samples = [augment.make_sample(data.read_pixels(item), item.boxes) for item in pictures]
    model = network.ScratchNetwork().to(memory_format=torch.channels_last)
    averaged: network.ScratchNetwork = copy.deepcopy(model).requires_grad_(False)
    optimiser = torch.optim.AdamW(_groups(model, settings.decay), lr=settings.rate)
    steps_each = math.ceil(len(samples) / settings.batch)
    step, total = 0, steps_each * settings.epochs
    started = time.monotonic()
    for epoch in range(settings.epochs):
        model.train()
        order = np.random.default_rng((settings.seed, epoch)).permutation(len(samples))
        losses = []
        for first in range(0, len(order), settings.batch):
            chosen = order[first : first + settings.batch]
            inputs, targets = _make_batch(samples, chosen, settings, epoch)
            for group in optimiser.param_groups:
                group["lr"] = settings.rate * _rate(step, total)
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
                seen = model.look(inputs)
            found = model.read(*(item.float() for item in seen))
            value = loss.compute_loss(found, targets, settings.size)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimiser.step()
            step += 1
            _follow(averaged, model, min(_AVERAGE, (1 + step) / (10 + step)))
            losses.append(value.item())
        report(
            f"epoch {epoch + 1}/{settings.epochs}: loss {np.mean(losses):.3f}, "
            f"{time.monotonic() - started:.0f} s"
        )
    averaged.eval()
    return averaged


def _prepare(settings: Settings) -> None:
    torch.manual_seed(settings.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(settings.threads)
    cv2.setNumThreads(settings.threads)


def _groups(model: network.ScratchNetwork, decay: float) -> list[dict[str, object]]:
    """Let only the weights of convolutions decay."""
    weights = [item for item in model.parameters() if item.ndim > 1]
    others = [item for item in model.parameters() if item.ndim <= 1]
    return [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _rate(step: int, total: int) -> float:
    """Return the share of the highest learning rate: a ramp, then half a cosine."""
    if step < _WARM_UP:
        return (step + 1) / _WARM_UP
    done = (step - _WARM_UP) / max(1, total - _WARM_UP)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2


def _make_batch(
    samples: Sequence[augment.Sample], chosen: np.ndarray, settings: Settings, epoch: int
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    strong = epoch < settings.epochs * (1 - _WEAK_SHARE)
    made = [
        augment.augment(
            samples,
            int(index),
            settings.size,
            np.random.default_rng((settings.seed, epoch, int(index))),
            strong=strong,
        )
        for index in chosen
    ]
    pixels = np.stack([item.pixels for item in made]).transpose(0, 3, 1, 2)
    inputs = torch.from_numpy(np.ascontiguousarray(pixels)).float().div_(255)
    return (
        inputs.contiguous(memory_format=torch.channels_last),
        [torch.from_numpy(item.boxes) for item in made],
    )


@torch.no_grad()  # type: ignore[untyped-decorator]
def _follow(averaged: torch.nn.Module, model: torch.nn.Module, keep: float) -> None:
    for old, new in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
        if old.dtype.is_floating_point:
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)
