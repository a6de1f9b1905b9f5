"""Heat maps to points, with static shapes: `maskrt.models.rcnn.keypoint_branch.keypoints_of` as a graph.

The enlargement of a heat map to its box has a size that depends on the data; the `WINDOW` × `WINDOW` samples
around the best cell have not, and are two products of matrices. So points come out of the graph, 17 × 3
numbers a person, in place of heat maps, 17 × 56²: 21 MB for 100 rows, for the host to enlarge and search.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskrt.models.rcnn.keypoint_branch import WINDOW

CUBIC = -0.75  # the free coefficient of the cubic kernel (Keys 1981, eq. 4) in torch's bicubic interpolation
REACH = 2  # cells that the kernel reaches beyond the border, where the border's values are repeated


def decode_keypoints(heat: Tensor, boxes: Tensor) -> Tensor:
    """heat: (R, K, M, M) float32 logits; boxes: (R, 4) x1 y1 x2 y2.

    Returns (R, K, 3) float32: x, y in the boxes' pixels, and the logit there.
    """
    side = heat.shape[-1]
    best = heat.flatten(2).argmax(dim=-1)
    row = best // side
    column = best - row * side
    x1, y1, x2, y2 = boxes[:, None].unbind(dim=-1)  # (R, 1) each
    across, x = _samples(column, (x2 - x1).clamp(min=1), side)
    down, y = _samples(row, (y2 - y1).clamp(min=1), side)
    border = torch.arange(-REACH, side + REACH, device=heat.device).clamp(0, side - 1)
    padded = heat.index_select(2, border).index_select(3, border)
    values = torch.matmul(torch.matmul(down, padded), across.transpose(2, 3)).flatten(2)  # (R, K, WINDOW²)
    score, place = values.max(dim=-1)
    sample_row = place // WINDOW
    sample_column = place - sample_row * WINDOW
    return torch.stack(
        [
            x1 + torch.gather(x, 2, sample_column[:, :, None]).squeeze(2),
            y1 + torch.gather(y, 2, sample_row[:, :, None]).squeeze(2),
            score,
        ],
        dim=-1,
    )


def _samples(cell: Tensor, length_px: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Along one axis: the samples around a cell, of as many as the box has pixels, begun ones included.

    cell: (R, K) int64; length_px: (R, 1). Returns the kernel's weights (R, K, WINDOW, M + 2 REACH), and the
    places (R, K, WINDOW) in px from the box's edge.
    """
    count = length_px.ceil()
    nearest = torch.floor((cell.to(count.dtype) + 0.5) * (count / side))
    first = torch.minimum((nearest - WINDOW // 2).clamp(min=0), (count - WINDOW).clamp(min=0))
    steps = torch.arange(WINDOW, device=cell.device, dtype=count.dtype)
    # Where the box has fewer samples than the window, the last of them comes again: it changes no maximum.
    number = torch.minimum(first[:, :, None] + steps, count[:, :, None] - 1) + 0.5
    at = number * (side / count)[:, :, None] - 0.5
    cells = torch.arange(-REACH, side + REACH, device=cell.device, dtype=count.dtype)
    return _cubic((at[..., None] - cells).abs()), number * (length_px / count)[:, :, None]


def _cubic(distance: Tensor) -> Tensor:
    """Keys' kernel (Cubic convolution interpolation for digital image processing, 1981, eq. 4)."""
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance * CUBIC - 4 * CUBIC
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))
