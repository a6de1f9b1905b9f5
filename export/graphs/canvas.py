"""The first node of every graph: from a padded RGB canvas to the network's normalised input."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NormaliseCanvas(nn.Module):
    """Scale to 0–1, subtract the mean, divide by the deviation, and zero the padding.

    In the graph rather than before it, so that a user of the file cannot get it wrong. The padding is
    zeroed after normalisation because that is what the network saw in training.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, images: Tensor, image_sizes: Tensor) -> Tensor:
        """images: (N, H, W, 3) uint8 or float32; image_sizes: (N, 2). Returns (N, 3, H, W) float32."""
        pixels = images.permute(0, 3, 1, 2).to(self.mean.dtype) / 255
        normal = (pixels - self.mean) / self.std
        rows = torch.arange(images.shape[1], device=images.device).to(torch.float32)
        cols = torch.arange(images.shape[2], device=images.device).to(torch.float32)
        inside_rows = rows[None, :] < image_sizes[:, 0:1]
        inside_cols = cols[None, :] < image_sizes[:, 1:2]
        inside = inside_rows[:, None, :, None] & inside_cols[:, None, None, :]
        return torch.where(inside, normal, torch.zeros((), dtype=normal.dtype, device=images.device))
