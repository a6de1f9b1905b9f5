"""Models for tests, made without a download."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from runtime.contract import Category
from training.checkpoint import Checkpoint
from training.data import load_dataset
from training.models import MaskRcnnConfig, build_mask_rcnn
from training.models.random_weights import randomise

COCO_CLASSES = tuple(Category(i, f"class {i}") for i in range(1, 91))


def lively_checkpoint(backbone: str, seed: int = 0, **config: Any) -> Checkpoint:
    """A checkpoint whose random weights give many confident detections on any picture."""
    settings = MaskRcnnConfig(backbone=backbone, **config)
    torch.manual_seed(seed)
    model = randomise(build_mask_rcnn(settings), [torch.from_numpy(scene()).permute(2, 0, 1) / 255], seed)
    classes = COCO_CLASSES[: settings.num_classes - 1]
    return Checkpoint(config=settings, classes=classes, state_dict=model.state_dict())


def scene(index: int = 0) -> np.ndarray:
    """A picture with objects, (256, 320, 3) uint8."""
    return load_dataset("synthetic:16:7")[index].image()
