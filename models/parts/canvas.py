"""First node of every graph: from a padded RGB canvas to the network's normalised input."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NormaliseCanvas(nn.Module):
    """Scale to 0–1, subtract the mean, divide by the deviation, and set the padding.

    This is part of the graph, so that a user of the file cannot get it wrong. The padding is zeroed after
    normalisation because the network was trained so. Around a centred picture (`square`) the padding has the
    value of black pixels: Matterport pads first and subtracts the mean after.
    """

    mean: Tensor
    std: Tensor
    padding: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], *, square: bool = False) -> None:
        super().__init__()
        self.square = square
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))
        self.register_buffer("padding", -self.mean / self.std if square else torch.zeros(1, 1, 1))

    def forward(self, images: Tensor, image_sizes: Tensor) -> Tensor:
        """images: (N, H, W, 3) uint8 or float32; image_sizes: (N, 2). Returns (N, 3, H, W) float32."""
        pixels = images.permute(0, 3, 1, 2).to(self.mean.dtype) / 255
        normal = (pixels - self.mean) / self.std
        rows = torch.arange(images.shape[1], device=images.device).to(torch.float32)[None]
        cols = torch.arange(images.shape[2], device=images.device).to(torch.float32)[None]
        if self.square:
            left, top = corners_in_middle(image_sizes, normal).split(1, dim=1)
            rows, cols = rows - top, cols - left
        inside_rows = rows < image_sizes[:, 0:1]
        inside_cols = cols < image_sizes[:, 1:2]
        if self.square:
            inside_rows, inside_cols = inside_rows & (rows >= 0), inside_cols & (cols >= 0)
        inside = inside_rows[:, None, :, None] & inside_cols[:, None, None, :]
        return torch.where(inside, normal, self.padding)


def sides_of(canvas: Tensor) -> Tensor:
    """Sides W H W H of canvas (N, 3, H, W): (4,), of its type."""
    width, height = (torch.scalar_tensor(canvas.shape[axis], dtype=canvas.dtype) for axis in (3, 2))
    return torch.stack([width, height, width, height]).to(canvas.device)


def corners_in_middle(image_sizes: Tensor, canvas: Tensor) -> Tensor:
    """Left and top of centred pictures of image_sizes (N, 2), height and width: (N, 2) float32."""
    return torch.floor((sides_of(canvas)[:2] - image_sizes.flip(1)) / 2)
