"""The presets of `maskrt train`: configurations, and how a run of each goes (training/config.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from maskrt.models.family import Preset
from maskrt.models.yolact.config import PUBLISHED_PLUS, YolactConfig

# Learns a few hundred instances from scratch on two CPU cores within minutes. Half the paper's channels
# quarter what the pyramid, the protonet and the head cost.
SMALL = YolactConfig(
    backbone="resnet18",
    channels=96,
    prototypes=16,
    min_size_px=320,
    max_size_px=640,
)
SMALL_RUN: dict[str, Any] = {
    "epochs": 8,
    "optimizer": "adamw",
    "lr": 5e-4,
    "schedule": "cosine",
    "warmup_iterations": 20,
    "clip": 10.0,
    "precision": "bf16-mixed",
    "augment": "full",
    "workers": 0,
}

# For tests: a picture of 192 × 256 px, whose prototypes are 48 × 64.
TINY = replace(SMALL, channels=32, prototypes=8, min_size_px=192, max_size_px=256)

# YOLACT++ in the same form: deformable convolutions in a third of the blocks, nine priors a cell, rescoring.
SMALL_PLUS = replace(
    SMALL,
    deformable_every=PUBLISHED_PLUS.deformable_every,
    mask_iou=True,
    prior_sizes_px=PUBLISHED_PLUS.prior_sizes_px,
)

PRESETS = {"yolact": Preset(SMALL, SMALL_RUN), "yolact++": Preset(SMALL_PLUS, SMALL_RUN)}
