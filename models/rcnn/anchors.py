"""The RPN's anchors as Detectron2 and MMDetection lay them; torchvision's are torchvision's own."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator


def anchor_generator(
    sizes_px: tuple[tuple[int, ...], ...],
    ratios: tuple[float, ...],
    strides_px: tuple[int, ...],
    *,
    exact: bool,
) -> AnchorGenerator:
    """sizes_px: of each level, square roots of the anchors' areas. ratios: height / width. strides_px: of
    each level; torchvision's own generator takes them from the canvas instead."""
    if exact:
        return ExactAnchors(sizes_px, ratios, strides_px)
    return AnchorGenerator(sizes_px, (tuple(ratios),) * len(sizes_px))


class ExactAnchors(AnchorGenerator):
    """Anchors whose sides are not rounded, on a grid of the level's own stride.

    torchvision rounds a cell's sides to whole pixels, and takes for stride the canvas over the map, rounded
    down: 61 px, not 64, for P6 of an 800 px canvas. Detectron2 (DefaultAnchorGenerator, offset 0) and
    MMDetection (AnchorGenerator, center_offset 0) do neither.
    """

    def __init__(
        self,
        sizes_px: tuple[tuple[int, ...], ...],
        ratios: tuple[float, ...],
        strides_px: tuple[int, ...],
    ) -> None:
        """sizes_px: of each level, square roots of the anchors' areas. ratios: height / width."""
        super().__init__(sizes_px, (tuple(ratios),) * len(sizes_px))
        self.strides_px = strides_px

    def generate_anchors(
        self,
        scales: Any,
        aspect_ratios: Any,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> Tensor:
        """A level's cell: (sizes · ratios, 4) x1 y1 x2 y2 around 0, sizes fastest, as torchvision's."""
        sides = [
            (size / math.sqrt(ratio), size * math.sqrt(ratio)) for ratio in aspect_ratios for size in scales
        ]
        return torch.tensor([(-w / 2, -h / 2, w / 2, h / 2) for w, h in sides], dtype=dtype, device=device)

    def grid_anchors(self, grid_sizes: Any, strides: Any) -> Any:
        """As torchvision's, but for the strides, which are the levels' own."""
        return super().grid_anchors(grid_sizes, [[stride, stride] for stride in self.strides_px])
