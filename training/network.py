"""The network: a small residual trunk, a pyramid, and one head of stride 8."""

from __future__ import annotations

import itertools

import torch  # type: ignore[import-not-found]
from torch import nn

STRIDE = 8
"""Input pixels per cell of the head."""
_PRIOR = -4.0
"""First score of every cell, as a logit: nearly all of them see nothing."""


class ScratchNetwork(nn.Module):  # type: ignore[misc]
    """Pictures [n, 3, H, W] from 0 to 1 to boxes and scores; H and W are multiples of 32."""

    def __init__(self, widths: tuple[int, ...] = (16, 24, 48, 96, 112), head: int = 64) -> None:
        super().__init__()
        stem, fine, *coarse = widths
        self.stem = nn.Sequential(_Unit(3, stem, stride=2), _Unit(stem, fine, stride=2))
        sizes = [fine, *coarse]
        self.stages = nn.ModuleList(
            nn.Sequential(_Unit(narrow, wide, stride=2), _Residual(wide))
            for narrow, wide in itertools.pairwise(sizes)
        )
        self.context = _Context(coarse[-1])
        self.laterals = nn.ModuleList(nn.Conv2d(wide, head, 1) for wide in coarse)
        self.merges = nn.ModuleList(_Unit(head, head) for _ in coarse[:-1])
        self.shared = _Unit(head, head)
        self.see_scores, self.see_boxes = _Unit(head, head), _Unit(head, head)
        self.scores, self.boxes = nn.Conv2d(head, 1, 1), nn.Conv2d(head, 4, 1)
        nn.init.constant_(self.scores.bias, _PRIOR)
        # At first every box is as wide and high as 7 cells.
        with torch.no_grad():
            self.boxes.bias.copy_(torch.tensor([0.0, 0.0, 2.0, 2.0]))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return [n, 5, cells]: centre x, centre y, width, height in pixels, score as a logit."""
        return self.read(*self.look(pictures))

    def look(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what `read` makes scores and boxes of; half precision is enough up to here."""
        features = self.stem(pictures)
        levels = []
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        merged = self.laterals[-1](self.context(levels.pop()))
        pairs = zip(reversed(levels), reversed(self.laterals[:-1]), strict=True)
        for (level, lateral), merge in zip(pairs, reversed(self.merges), strict=True):
            merged = merge(lateral(level) + nn.functional.interpolate(merged, scale_factor=2.0))
        merged = self.shared(merged)
        return self.see_scores(merged), self.see_boxes(merged)

    def read(self, for_scores: torch.Tensor, for_boxes: torch.Tensor) -> torch.Tensor:
        """Return what `forward` does."""
        placed = self._place(self.boxes(for_boxes))
        return torch.cat([placed, self.scores(for_scores)], dim=1).flatten(2)

    @staticmethod
    def _place(raw: torch.Tensor) -> torch.Tensor:
        """Turn what the head says relative to its cells into pixels."""
        rows = torch.arange(raw.shape[2], dtype=raw.dtype) + 0.5
        columns = torch.arange(raw.shape[3], dtype=raw.dtype) + 0.5
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        centres = raw[:, :2] + torch.stack([x, y])
        sizes = torch.exp(raw[:, 2:].clamp(-3.0, 5.0))
        return torch.cat([centres, sizes], dim=1) * STRIDE


class Exported(nn.Module):  # type: ignore[misc]
    """The same network with scores from 0 to 1: the layout of Ultralytics v8, one class."""

    def __init__(self, network: ScratchNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return [n, 5, cells]."""
        found = self.network(pictures)
        return torch.cat([found[:, :4], found[:, 4:].sigmoid()], dim=1)


class _Unit(nn.Module):  # type: ignore[misc]
    """Convolution, normalisation, activation."""

    def __init__(self, narrow: int, wide: int, *, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(narrow, wide, size, stride, size // 2, bias=False)
        self.normalise = nn.BatchNorm2d(wide)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.normalise(self.convolve(features)))


class _Residual(nn.Module):  # type: ignore[misc]
    """Two units whose result is added to what came in."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.first, self.second = _Unit(wide, wide), _Unit(wide, wide)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.second(self.first(features))


class _Context(nn.Module):  # type: ignore[misc]
    """Let every cell of the coarsest level see most of the tag."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.narrow = _Unit(wide, wide // 2, size=1)
        self.widen = _Unit(wide * 2, wide, size=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        views = [self.narrow(features)]
        for _ in range(3):
            views.append(nn.functional.max_pool2d(views[-1], 5, 1, 2))
        return self.widen(torch.cat(views, dim=1))
