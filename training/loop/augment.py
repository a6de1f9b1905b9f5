"""Augmentations by name, from torchvision.transforms.v2."""

from __future__ import annotations

import torch
from torchvision.transforms import v2

AUGMENTATIONS = {
    "none": [],
    "flip": [v2.RandomHorizontalFlip()],  # the paper's
    # For objects without an up or a left, in changing light: microscopy, aerial images, parts on a belt.
    "full": [
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.ColorJitter(brightness=0.3, contrast=0.2, saturation=0.2),
    ],
}


def augmentation(name: str) -> v2.Compose:
    """Takes and gives an image and its targets as tv_tensors; the image comes out float32 in 0–1."""
    return v2.Compose([*AUGMENTATIONS[name], v2.ToDtype(torch.float32, scale=True)])
