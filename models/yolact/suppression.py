"""Fast NMS (arXiv:1904.02689, section 4.2) with shapes that do not depend on the data.

Of each class it takes the 200 rows with the best scores, and drops a row that overlaps one of its class
with a better score, whether that one is dropped itself or not. The best rows of all classes are what is
found.

A table of all classes' overlaps has classes · 200 · 200 cells. But whatever drops a row has a better score,
so the rows with the best scores of all are dropped by each other alone: M of them have M · M overlaps,
whatever the number of classes. What is found is the same, as long as as many as are wanted are left of
these M.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fast_nms(
    boxes: Tensor, scores: Tensor, groups: Tensor, usable: Tensor, *, iou: float, of_a_group: int
) -> Tensor:
    """Which rows are left, (N, M) bool.

    boxes: (N, M, 4), x1 y1 x2 y2; scores: (N, M), descending; groups: (N, M), rows of different ones leave
    each other alone; usable: (N, M) bool, the first rows of each image. of_a_group: rows of a group that
    are looked at.
    """
    rank = torch.arange(boxes.shape[1], device=boxes.device)
    before = rank[:, None] < rank[None, :]
    rivals = before & (groups[:, :, None] == groups[:, None, :])  # (N, row that may drop, row)
    worst = torch.where(rivals, overlaps(boxes), 0.0).amax(dim=1)
    left = usable & (worst <= iou)
    if boxes.shape[1] > of_a_group:
        left = left & (torch.where(rivals, 1.0, 0.0).sum(dim=1) < of_a_group)
    return left


def overlaps(boxes: Tensor) -> Tensor:
    """IoU of each with each: (N, M, 4) → (N, M, M)."""
    x1, y1, x2, y2 = (side.squeeze(-1) for side in boxes.split(1, dim=-1))
    width, height = (
        (
            torch.minimum(last[:, :, None], last[:, None]) - torch.maximum(first[:, :, None], first[:, None])
        ).clamp(min=0)
        for first, last in ((x1, x2), (y1, y2))
    )
    shared, areas = width * height, (x2 - x1) * (y2 - y1)
    return shared / (areas[:, :, None] + areas[:, None] - shared)
