"""Which cells answer for which scratch, and how wrong they are."""

from __future__ import annotations

import torch  # type: ignore[import-not-found]
from torch.nn import functional  # type: ignore[import-not-found]

from training.network import STRIDE

_CELLS_PER_SCRATCH = 9
_MIDDLE = 0.3
"""Cells answer for a scratch within this share of its box around the centre, where it passes."""
_BOX_WEIGHT = 2.5
_SMALL = 1e-7


def compute_loss(
    found: torch.Tensor, targets: list[torch.Tensor], size: tuple[int, int]
) -> torch.Tensor:
    """Return the loss of a batch.

    `found` is the network's [n, 5, cells], `targets` holds k by 4 corners for each picture, `size`
    is the input's width and height. Both terms are divided by the weight of what there was to find
    in the batch, so that pictures with many scratches do not drown the others.
    """
    cells = make_cells(size)
    boxes = _corners(found[:, :4].transpose(1, 2))
    logits = found[:, 4]
    wanted = torch.zeros_like(logits)
    errors = []
    for number, truth in enumerate(targets):
        if len(truth):
            owners, weights = assign_cells(cells, boxes[number], logits[number], truth)
            wanted[number] = weights
            chosen = weights > 0
            overlap = complete_iou(boxes[number][chosen], truth[owners[chosen]])
            errors.append(((1 - overlap) * weights[chosen]).sum())
    total = wanted.sum().clamp(min=1.0)
    score_loss = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
    box_loss = torch.stack(errors).sum() if errors else boxes.sum() * 0
    return (score_loss + _BOX_WEIGHT * box_loss) / total


@torch.no_grad()  # type: ignore[untyped-decorator]
def assign_cells(
    cells: torch.Tensor, boxes: torch.Tensor, logits: torch.Tensor, truth: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each cell its scratch and its wanted score, 0 for cells that see none.

    The cells that answer best already, in score and overlap, are the ones that learn to.
    """
    centres, sides = (truth[:, :2] + truth[:, 2:]) / 2, truth[:, 2:] - truth[:, :2]
    reach = (sides * _MIDDLE).clamp(min=STRIDE)
    near = ((cells[None] - centres[:, None]).abs() <= reach[:, None]).all(dim=2)
    overlap = plain_iou(boxes[None], truth[:, None])
    fitness = logits.sigmoid().sqrt()[None] * overlap**4 * near
    least = fitness.topk(min(_CELLS_PER_SCRATCH, fitness.shape[1]), dim=1).values[:, -1:]
    taken = (fitness >= least.clamp(min=1e-12)) & near
    # Where no cell fits at all yet, the nearest one starts.
    nearest = ((cells[None] - centres[:, None]) ** 2).sum(dim=2).argmin(dim=1)
    lonely = ~taken.any(dim=1)
    taken[lonely, nearest[lonely]] = True
    owners = torch.where(taken, overlap + _SMALL, torch.zeros_like(overlap)).argmax(dim=0)
    mine = taken & (torch.arange(len(truth))[:, None] == owners[None])
    best_fitness = (fitness * mine).amax(dim=1, keepdim=True)
    best_overlap = (overlap * mine).amax(dim=1, keepdim=True)
    share = fitness * mine / best_fitness.clamp(min=1e-12) * best_overlap
    weights = torch.where(mine, share.clamp(min=0.05), torch.zeros_like(share)).amax(dim=0)
    return owners, weights


def plain_iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return shared area by area of both, of corners that broadcast."""
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(item[..., 2:] - item[..., :2]).prod(dim=-1) for item in (boxes, others)]
    return shared / (areas[0] + areas[1] - shared + _SMALL)


def complete_iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the overlap less penalties for distance and for another shape (Zheng et al., 2020)."""
    overlap = plain_iou(boxes, others)
    hull = torch.maximum(boxes[..., 2:], others[..., 2:]) - torch.minimum(
        boxes[..., :2], others[..., :2]
    )
    apart = ((boxes[..., :2] + boxes[..., 2:] - others[..., :2] - others[..., 2:]) / 2) ** 2
    distance = apart.sum(dim=-1) / ((hull**2).sum(dim=-1) + _SMALL)
    angles = [
        torch.atan((item[..., 2] - item[..., 0]) / (item[..., 3] - item[..., 1] + _SMALL))
        for item in (boxes, others)
    ]
    shape = (4 / torch.pi**2) * (angles[0] - angles[1]) ** 2
    weight = (shape / (1 - overlap + shape + _SMALL)).detach()
    return overlap - distance - weight * shape


def _corners(centres: torch.Tensor) -> torch.Tensor:
    half = centres[..., 2:] / 2
    return torch.cat([centres[..., :2] - half, centres[..., :2] + half], dim=-1)


def make_cells(size: tuple[int, int]) -> torch.Tensor:
    """Return the middle of every cell, row by row: cells by 2, in pixels."""
    rows, columns = (torch.arange(side // STRIDE) + 0.5 for side in (size[1], size[0]))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=2).reshape(-1, 2) * STRIDE
