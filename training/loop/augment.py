"""Augmentations by name, from torchvision.transforms.v2."""

from __future__ import annotations

import math
from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from maskrt.training.loop.ssd import SsdAugmentation

AUGMENTATIONS = {
    "none": [],
    "flip": [v2.RandomHorizontalFlip()],  # the paper's
    # For objects without an up or a left, in changing light: microscopy, aerial images, parts on a belt.
    "full": [
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.ColorJitter(brightness=0.3, contrast=0.2, saturation=0.2),
    ],
    # For pictures of one scene after another, which have an up: streets, rooms, landscapes.
    "scenes": [
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3),
    ],
    "ssd": [SsdAugmentation()],
}


def augmentation(name: str, crop_px: int = 0, crop_scales: tuple[float, float] = (1.0, 1.0)) -> v2.Compose:
    """Takes and gives an image and its targets as tv_tensors; the image comes out float32 in 0–1.

    crop_px: side of the square that is cut from each image, 0 for none, as `ScaledCrop` does.
    """
    crop = [ScaledCrop(crop_px, crop_scales)] if crop_px else []
    return v2.Compose([*crop, *AUGMENTATIONS[name], v2.ToDtype(torch.float32, scale=True)])


class ScaledCrop(v2.Transform):
    """A square of the image at a random scale, from a random place.

    scales: the smallest and largest, of equal chance in octaves; no smaller than the image fills the square.
    Label maps are resized by the nearest neighbour, as v2 does with every mask.
    """

    def __init__(self, side_px: int, scales: tuple[float, float]) -> None:
        super().__init__()
        self.side_px, self.scales = side_px, scales

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The window that becomes the square: top, left, height, width in image pixels."""
        height, width = v2.functional.get_size(
            next(x for x in flat_inputs if isinstance(x, tv_tensors.Image))
        )
        least = self.side_px / min(height, width)
        low, high = (math.log2(max(scale, least)) for scale in self.scales)
        place = torch.rand(3)
        side = min(round(self.side_px / 2 ** float(low + (high - low) * place[0])), height, width)
        top, left = (int(place[k + 1] * (room + 1)) for k, room in enumerate((height - side, width - side)))
        return {"top": top, "left": left, "height": side, "width": side}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Cut and resize one image or label map."""
        return functional.resized_crop(inpt, **params, size=[self.side_px, self.side_px], antialias=True)
