"""The presets of `maskrt train`: configurations, and how a run of each goes (training/config.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from maskrt.models.family import Preset
from maskrt.models.rcnn.config import C4, C5, MOBILENET, MaskRcnnConfig

# The paper's, as Detectron's 1x schedule has it: short side 800, 8 GPUs × 2 images, lr 0.02 with warm-up over
# 500 iterations, a tenth of it from 60k and again from 80k of 90k iterations, which are 12.3 epochs of the
# 117,266 annotated images of train2017. On fewer GPUs lr is scaled down with the images a step, and the
# epochs stay.
PAPER_RUN: dict[str, Any] = {"lr": 0.02, "lr_images": 16}

# Learns a few hundred instances from scratch on two CPU cores within minutes. Most of a step's cost is in
# the FPN's and RPN's convolutions on P2, which half the channels quarter, and in the sampled RoIs. Batch norm
# must be trainable where nothing was learned before.
SMALL = MaskRcnnConfig(
    backbone="resnet18",
    norm="bn",
    fpn_channels=128,
    mask_convs=(128, 128, 128, 128),
    min_size_px=384,
    max_size_px=704,
    rpn_samples=128,
    rpn_post_nms_train=1000,
    rpn_post_nms_test=300,
    box_samples=96,
)
SMALL_RUN: dict[str, Any] = {
    "epochs": 8,
    "optimizer": "adamw",
    "lr": 4e-4,
    "schedule": "cosine",
    "warmup_iterations": 20,
    "clip": 10.0,
    "precision": "bf16-mixed",
    "augment": "full",
    "workers": 0,
}

# Learns plain shapes in minutes (maskrt demo). Half of SMALL's channels, few regions a picture: a step costs
# half of one of SMALL on the same canvas.
TINY = replace(
    SMALL,
    fpn_channels=64,
    mask_convs=(64, 64),
    min_size_px=192,
    max_size_px=256,
    rpn_pre_nms_train=500,
    rpn_post_nms_train=300,
    box_samples=64,
)

# The single-level model in SMALL's form. All that it sees is C5, a cell for 32 px of the canvas, so that is
# larger than SMALL's; it costs little, since nothing but the backbone works on finer maps. The original's
# paste lies a pixel off what masks learn.
SMALL_C5 = replace(
    C5,
    backbone="resnet18",
    norm="bn",
    fpn_channels=128,
    mask_convs=(128, 128, 128, 128),
    min_size_px=512,
    max_size_px=1280,
    anchor_sizes_px=((32, 64, 128),),
    rpn_samples=128,
    rpn_post_nms_train=1000,
    rpn_post_nms_test=300,
    box_samples=96,
    mask_paste="torchvision",
)

PRESETS = {
    "small": Preset(SMALL, SMALL_RUN),
    "tiny": Preset(TINY, SMALL_RUN | {"epochs": 3, "batch": 4, "lr": 8e-4}),
    "paper": Preset(MaskRcnnConfig(), PAPER_RUN),
    "c4": Preset(C4, PAPER_RUN),
    "c5": Preset(SMALL_C5, SMALL_RUN),
    "mobilenet": Preset(MOBILENET, PAPER_RUN),
}
