"""SSD's augmentation (arXiv:1512.02325, section 2.2), which YOLACT trains with.

Colours are changed; the picture is laid on a larger one of the mean colour; a part of it is taken in which
some object overlaps enough; it is mirrored. What comes out has the size that went in.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask, TVTensor, wrap

MEAN_RGB = (124, 117, 104)  # of ImageNet, in 0–255
LEAST_SIDE_PX = 1.0  # of an object that is left
OF_OBJECTS = ("boxes", "masks", "labels", "keypoints")  # of the targets, those with a row an object


class SsdAugmentation(nn.Module):
    """Takes and gives an image and its targets as tv_tensors; objects that are cut away leave all targets."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = v2.Compose(
            [
                v2.RandomPhotometricDistort(p=0.5),
                v2.RandomZoomOut(fill={Image: MEAN_RGB, Mask: 0}, side_range=(1.0, 4.0), p=0.5),
                v2.RandomIoUCrop(),
                v2.RandomHorizontalFlip(),
            ]
        )

    def forward(self, image: Any, target: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """image: (3, h, w) uint8; target: as training/loop/loader.py has it, with boxes and masks."""
        size = list(image.shape[-2:])
        image, target = v2.Resize(size, antialias=False)(*self.steps(image, target))
        boxes, masks = target["boxes"], target["masks"]
        sides = boxes[:, 2:] - boxes[:, :2]
        left = (sides.amin(dim=1) >= LEAST_SIDE_PX) & (masks > 0).flatten(1).any(dim=1)
        return image, target | {name: _rows(target[name], left) for name in OF_OBJECTS if name in target}


def _rows(values: Any, left: Tensor) -> Any:
    """Some rows of a tv_tensor, or of a plain tensor, as what it is."""
    rows = values.as_subclass(Tensor)[left]
    return wrap(rows, like=values) if isinstance(values, TVTensor) else rows
