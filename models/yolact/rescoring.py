"""The mask-IoU net of YOLACT++ (arXiv:1912.06218, section 6.1): how good a mask is, of which its score is
made.

A small network looks at a mask, cropped to its box, and says for each class which IoU it has with the object
if it is of that class. The score of a mask is that of its box times this.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = (1, 8, 16, 32, 64, 128)
LEAST_CELLS = 63  # that five 3×3 convolutions of stride 2 without padding leave one of
LEAST_AREA = 25  # cells of an object's mask, below which nothing is learned of it


class MaskIou(nn.Module):
    """Five 3×3 convolutions of stride 2, a 1×1, the largest of all places; a ReLU after each."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2) for a, b in pairwise(CHANNELS))
        self.last = nn.Conv2d(CHANNELS[-1], classes, 1)

    def forward(self, masks: Tensor) -> Tensor:
        """masks: (K, h, w) probabilities, 0 outside of their boxes → (K, classes) IoU, not above 0 of none.

        A map that is too small for the layers gets zeros at its end; of a size that is not known, as in a
        graph of any size, always, and then what only these gave does not count.
        """
        height, width = masks.shape[1:]
        fixed = isinstance(height, int) and isinstance(width, int)
        more = [max(0, LEAST_CELLS - side) if fixed else LEAST_CELLS - 1 for side in (height, width)]
        values = functional.pad(masks[:, None], (0, more[1], 0, more[0]))
        for layer in self.layers:
            values = functional.relu(layer(values))
        values = functional.relu(self.last(values))
        if not fixed:
            inside = self._there(height, values.shape[2], values)[:, None] & self._there(
                width, values.shape[3], values
            )
            values = torch.where(inside, values, 0.0)
        return values.amax(dim=(2, 3))

    def _there(self, cells: int, count: int, like: Tensor) -> Tensor:
        """(count,) bool: which places along an axis see nothing but the map, or of a small one the first."""
        for _ in self.layers:
            cells = (cells - 3) // 2 + 1
        place = torch.arange(count, device=like.device)
        return (place < cells) | (place == 0)


def rescored(model: MaskIou, masks: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """Scores of masks (K, h, w), whose boxes have scores (K,) and labels (K,) int64, 0 the first class."""
    return scores * torch.gather(model(masks), 1, labels[:, None]).squeeze(1)


def iou_loss(model: MaskIou, predicted: Tensor, wanted: Tensor, labels: Tensor) -> Tensor:
    """Smooth L1, a sum. predicted: (K, h, w) probabilities, 0 outside of their boxes; wanted: (K, h, w) of
    0 and 1; labels: (K,) int64, 0 the first class. Zero where all objects are too small."""
    large = wanted.sum(dim=(1, 2)) > LEAST_AREA
    if not large.any():
        return predicted.sum() * 0
    predicted, wanted, labels = predicted[large], wanted[large], labels[large]
    found = (predicted > 0.5).to(wanted.dtype)
    shared = (found * wanted).sum(dim=(1, 2))
    iou = shared / (found.sum(dim=(1, 2)) + wanted.sum(dim=(1, 2)) - shared)
    said = torch.gather(model(predicted), 1, labels[:, None]).squeeze(1)
    return functional.smooth_l1_loss(said, iou, reduction="sum")
