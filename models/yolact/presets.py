"""The presets of `maskrt train`: configurations, and how a run of each goes (training/config.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from maskrt.models.family import Preset
from maskrt.models.yolact.config import YolactConfig

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

PRESETS = {"yolact": Preset(SMALL, SMALL_RUN)}
