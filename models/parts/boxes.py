"""Box arithmetic shared by the proposal and detection stages, operation by operation as in torchvision."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_LOG_SCALE = math.log(1000.0 / 16)  # torchvision's and Detectron2's clamp of dw, dh before exp


def decode(deltas: Tensor, boxes: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """Apply box regression (R-CNN, arXiv:1311.2524, appendix C).

    deltas: (..., 4) dx dy dw dh; boxes: (..., 4) x1 y1 x2 y2. Returns (..., 4) x1 y1 x2 y2.
    """
    x1, y1, x2, y2 = boxes.split(1, dim=-1)
    dx, dy, dw, dh = (delta / weight for delta, weight in zip(deltas.split(1, dim=-1), weights, strict=True))
    width, height = x2 - x1, y2 - y1
    centre_x = dx * width + (x1 + 0.5 * width)
    centre_y = dy * height + (y1 + 0.5 * height)
    half_width = 0.5 * (torch.exp(dw.clamp(max=MAX_LOG_SCALE)) * width)
    half_height = 0.5 * (torch.exp(dh.clamp(max=MAX_LOG_SCALE)) * height)
    return torch.cat(
        [centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height],
        dim=-1,
    )


def clip(boxes: Tensor, image_sizes: Tensor) -> Tensor:
    """Clip boxes (N, R, 4) to the valid area image_sizes (N, 2), (height, width)."""
    height, width = image_sizes[:, None].split(1, dim=-1)
    return torch.minimum(boxes.clamp(min=0), torch.cat([width, height, width, height], dim=-1))


def at_least(boxes: Tensor, side_px: float) -> Tensor:
    """True where both sides of a box are at least side_px, (N, R) bool."""
    return (boxes[..., 2:] - boxes[..., :2]).amin(dim=-1) >= side_px


def gather_rows(values: Tensor, rows: Tensor) -> Tensor:
    """Gather the given rows of each image: values (N, R, C), rows (N, K) int64 → (N, K, C)."""
    return torch.gather(values, 1, rows[:, :, None].expand(-1, -1, values.shape[2]))


def blank_past(values: Tensor, counts: Tensor) -> Tensor:
    """Zero the rows of values (N, D) or (N, D, C) at and past counts (N,) int32."""
    valid = torch.arange(values.shape[1], device=values.device, dtype=torch.int32)[None] < counts[:, None]
    valid = valid.view(*valid.shape, *[1] * (values.dim() - 2))
    return torch.where(valid, values, torch.zeros((), dtype=values.dtype, device=values.device))
