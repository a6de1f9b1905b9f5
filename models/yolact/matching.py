"""Which prior is to say which object, in training.

A prior is of the object that it overlaps most, where that is enough; and each object has one prior at
least, its best that no object with a larger overlap has taken.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

NEUTRAL, BACKGROUND = -1, 0
TAKEN = -1.0  # below any overlap


def matched(
    boxes: Tensor, labels: Tensor, priors: Tensor, *, positive: float, negative: float
) -> tuple[Tensor, Tensor]:
    """boxes: (G, 4) and priors: (P, 4), x1 y1 x2 y2; labels: (G,) from 1. positive, negative: IoU.

    Returns the class of each prior (P,) int64: `BACKGROUND` below `negative`, `NEUTRAL` from there to
    `positive`; and its object (P,) int64, of any prior that is not positive the one it overlaps most.
    """
    if not len(boxes):
        nothing = torch.zeros(len(priors), dtype=torch.int64, device=priors.device)
        return nothing, nothing
    overlaps = box_iou(boxes, priors)
    best, objects = overlaps.max(dim=0)
    for _ in range(len(boxes)):
        of_each, prior_of_each = overlaps.max(dim=1)
        chosen = of_each.argmax()
        prior = prior_of_each[chosen]
        overlaps[:, prior] = overlaps[chosen] = TAKEN
        best[prior], objects[prior] = 1.0, chosen
    classes = labels[objects]
    classes = torch.where(best < positive, NEUTRAL, classes)
    return torch.where(best < negative, BACKGROUND, classes), objects
