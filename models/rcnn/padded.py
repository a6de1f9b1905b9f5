"""Boxes that are clipped to the padded picture, and scaled by its size.

https://github.com/Okery/PyTorch-Simple-MaskRCNN takes the picture's size after padding it to multiples of
32 px (model/mask_rcnn.py, forward), and scales boxes by it as they leave (model/transform.py, postprocess):
of a picture of 640×480 px, resized to 1067×800 and padded to 1088×800, all x are 2% too small. Its training
does not.
"""

from __future__ import annotations

import torch
from torch import Tensor

PADDED_TO_PX = 32


def padded_sizes(sizes: Tensor) -> Tensor:
    """Height and width of pictures (N, 2), as they are padded."""
    return (sizes / PADDED_TO_PX).ceil() * PADDED_TO_PX


def as_they_leave(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Boxes (N, D, 4) of the network, in canvas pixels, as this code gives them. sizes: of the pictures,
    (N, 2)."""
    return boxes * _ratio(sizes)


def as_they_were(boxes: Tensor, sizes: Tensor) -> Tensor:
    """The reverse of `as_they_leave`: from where masks are pooled."""
    return boxes / _ratio(sizes)


def _ratio(sizes: Tensor) -> Tensor:
    ratio = (sizes / padded_sizes(sizes)).flip(1)
    return torch.cat([ratio, ratio], dim=1)[:, None]
