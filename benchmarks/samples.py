"""Models for tests, made without a download."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from maskrt.models import find_family
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.random_weights import randomise
from maskrt.runtime.contract import Category, Keypoints
from maskrt.training.data import load_dataset

PARTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
POINTS = ("nose", *(f"{side}_{part}" for part in PARTS for side in ("left", "right")))  # COCO's person
COCO_CLASSES = tuple(Category(i, f"class {i}") for i in range(1, 91))


def confident_checkpoint(
    backbone: str, seed: int = 0, *, kind: type[MaskRcnnConfig] = MaskRcnnConfig, **config: Any
) -> Checkpoint:
    """A checkpoint whose random weights give many confident detections on any picture.

    kind: of the configuration, whose fields `config` has.
    """
    settings = kind(backbone=backbone, **config)
    torch.manual_seed(seed)
    network = find_family(settings.family).build(settings)
    model = randomise(network, [torch.from_numpy(scene()).permute(2, 0, 1) / 255], seed)
    classes = COCO_CLASSES[: settings.num_classes - 1]
    points = Keypoints(POINTS[: settings.num_keypoints], ((0, 1), (0, 2)))
    keypoints = points if settings.task == "keypoint" else None
    return Checkpoint(config=settings, classes=classes, state_dict=model.state_dict(), keypoints=keypoints)


def scene(index: int = 0) -> np.ndarray:
    """A picture with objects, (256, 320, 3) uint8."""
    return load_dataset("synthetic:16:7")[index].image()
