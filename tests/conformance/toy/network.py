"""The toy's network and its losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from tests.conformance.toy.config import STRIDE_PX, ToyConfig

REACH = 2.0  # of a box's sides from its cell's centre, in cells, where nothing is learned yet


class Toy(nn.Module):
    """Two convolutions: patches to features, and features to what each cell says."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.features = nn.Sequential(nn.Conv2d(3, config.channels, STRIDE_PX, stride=STRIDE_PX), nn.ReLU())
        self.head = nn.Conv2d(config.channels, config.num_classes + 4 + config.mask_size**2, 1)

    def forward(self, images: list[Tensor], targets: list[dict[str, Any]]) -> dict[str, Tensor]:
        """In training: the losses of images (3, h, w) in 0–1 and their targets."""
        mean, std = (torch.tensor(c, device=images[0].device)[:, None, None] for c in self.colours)
        sides = [max(-(-one.shape[axis] // STRIDE_PX) for one in images) * STRIDE_PX for axis in (1, 2)]
        canvas = torch.stack(
            [
                functional.pad((one - mean) / std, (0, sides[1] - one.shape[2], 0, sides[0] - one.shape[1]))
                for one in images
            ]
        )
        logits, boxes, masks = self.said(self.cells(canvas))
        parts = [
            self._losses(*of_one, target)
            for *of_one, target in zip(logits, boxes, masks, targets, strict=True)
        ]
        return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}

    @property
    def colours(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation."""
        return self.config.mean, self.config.std

    def cells(self, canvas: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, classes + 4 + M², H / 16, W / 16)."""
        return self.head(self.features(canvas))

    def said(self, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each of A cells: logits (N, A, classes), boxes (N, A, 4) in canvas px, mask logits (N, A, M²)."""
        classes = self.config.num_classes
        rows, columns = (torch.arange(side, device=cells.device) for side in cells.shape[2:])
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        centres = (torch.stack([x, y], dim=-1).flatten(0, 1).to(cells.dtype) + 0.5) * STRIDE_PX
        flat = cells.flatten(2).transpose(1, 2)
        reach = torch.exp(flat[..., classes : classes + 4].clamp(max=4)) * REACH * STRIDE_PX
        boxes = torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], dim=-1)
        return flat[..., :classes], boxes, flat[..., classes + 4 :]

    def _losses(
        self, logits: Tensor, boxes: Tensor, masks: Tensor, target: dict[str, Any]
    ) -> dict[str, Tensor]:
        """The cell nearest to an object's centre is to say what the object is."""
        own, centres = target["boxes"], (boxes[:, :2] + boxes[:, 2:]).detach() / 2
        wanted = torch.zeros_like(logits)
        if not len(own):
            return {
                "loss_classes": functional.binary_cross_entropy_with_logits(logits, wanted),
                "loss_box": boxes.sum() * 0,
                "loss_mask": masks.sum() * 0,
            }
        middle = (own[:, :2] + own[:, 2:]) / 2
        cell = torch.cdist(middle.to(centres.dtype), centres).argmin(dim=1)
        wanted[cell, target["labels"] - 1] = 1.0
        side = self.config.mask_size
        number = torch.arange(len(own), device=own.device, dtype=own.dtype)[:, None]
        covered = roi_align(target["masks"][:, None].to(own.dtype), torch.cat([number, own], dim=1), side)
        return {
            "loss_classes": functional.binary_cross_entropy_with_logits(logits, wanted),
            "loss_box": functional.l1_loss(boxes[cell], own) / STRIDE_PX,
            "loss_mask": functional.binary_cross_entropy_with_logits(masks[cell], covered.flatten(1)),
        }
