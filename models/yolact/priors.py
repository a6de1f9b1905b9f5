"""Priors: boxes around every cell of every level, that the head's deltas move (arXiv:1512.02325, section
2.1).

A cell has A of them, scale by scale and of each the ratios in order. A prior is given by its centre and
sides in canvas pixels; delta is what the head says of it:

    centre = prior's centre + 0.1 delta · prior's sides        sides = prior's sides · exp(0.2 delta)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from maskrt.models.yolact.config import YolactConfig

CENTRE_VARIANCE, SIDE_VARIANCE = 0.1, 0.2


def prior_sides(config: YolactConfig) -> Tensor:
    """(levels, A, 2) float32: width and height in canvas pixels."""
    return torch.tensor(
        [
            [
                (
                    scale / math.sqrt(ratio),
                    scale / math.sqrt(ratio) if config.square_priors else scale * math.sqrt(ratio),
                )
                for scale in scales
                for ratio in config.prior_ratios
            ]
            for scales in config.prior_sizes_px
        ]
    )


def priors_of(sides: Tensor, maps: Sequence[tuple[int, int]], canvas: tuple[int, int]) -> Tensor:
    """(P, 4) float32: centre x, y, width, height in canvas pixels, level by level and row by row.

    sides: (levels, A, 2), of `prior_sides`; maps: (height, width) of each level; canvas: (height, width) in
    px.
    """
    found = []
    for (height, width), shapes in zip(maps, sides, strict=True):
        y, x = (
            (torch.arange(cells, dtype=sides.dtype, device=sides.device) + 0.5) / cells * side_px
            for cells, side_px in ((height, canvas[0]), (width, canvas[1]))
        )
        centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 1, 2)
        each = (height * width, len(shapes), 2)
        found.append(torch.cat([centres.expand(each), shapes[None].expand(each)], dim=-1).reshape(-1, 4))
    return torch.cat(found)


def corners(boxes: Tensor) -> Tensor:
    """(..., 4) centre x, y, width, height → x1 y1 x2 y2."""
    centre, sides = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - sides / 2, centre + sides / 2], dim=-1)


def decoded(deltas: Tensor, priors: Tensor) -> Tensor:
    """Boxes that deltas (..., 4) make of priors (..., 4): x1 y1 x2 y2 in canvas pixels."""
    sides = priors[..., 2:] * torch.exp(deltas[..., 2:] * SIDE_VARIANCE)
    first = priors[..., :2] + deltas[..., :2] * CENTRE_VARIANCE * priors[..., 2:] - sides / 2
    return torch.cat([first, first + sides], dim=-1)


def encoded(boxes: Tensor, priors: Tensor) -> Tensor:
    """The deltas that make boxes (..., 4), x1 y1 x2 y2, of priors (..., 4): the inverse of `decoded`."""
    middle, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    return torch.cat(
        [
            (middle - priors[..., :2]) / (CENTRE_VARIANCE * priors[..., 2:]),
            torch.log(sides / priors[..., 2:]) / SIDE_VARIANCE,
        ],
        dim=-1,
    )


def per_prior(levels: Sequence[Tensor], values: int) -> Tensor:
    """What a convolution says of every prior: (N, A·values, h, w) a level → (N, P, values)."""
    return torch.cat(
        [level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, values) for level in levels], dim=1
    )
