"""The presets of `maskrt train`: networks that a laptop learns from scratch, and how a run of each goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from maskrt.models.family import Preset
from maskrt.models.fcn.config import NETWORKS, FcnConfig

# VGG16 of a quarter of its channels, with batch norms, without which nothing this deep learns from scratch in
# minutes, on pictures of 256 px: more of them fit into the same time than of 512 px.
# The paper's network: --set width=1 --set fc_channels=4096 --set norm=none --backbone imagenet
SLIM = FcnConfig(width=0.25, fc_channels=256, norm="bn", dropout=0.1, min_size_px=192, max_size_px=256)
SLIM_RUN: dict[str, Any] = {
    "epochs": 8,
    "passes": 15,
    "batch": 8,
    "optimizer": "adamw",
    "lr": 3e-3,
    "weight_decay": 1e-2,
    "schedule": "cosine",
    "warmup_iterations": 50,
    "clip": 10.0,
    "precision": "bf16-mixed",
    "augment": "scenes",
    "crop_px": 160,
    "crop_scales": (0.9, 1.8),
    "workers": 0,
}

PRESETS = {network: Preset(replace(SLIM, network=network), SLIM_RUN) for network in NETWORKS}
