"""What Detectron2 and MMDetection have in common, and torchvision otherwise.

Both count the background as the last class, lay exact anchors, pool with the half pixel and as many samples
as a RoI has pixels (detectron2/config/defaults.py and
configs/Base-RCNN-FPN.yaml; mmdet/configs/_base_/models/mask_rcnn_r50_fpn.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from maskrt.models.foreign.translate import Edit
from maskrt.models.rcnn.config import MaskRcnnConfig

#: Of MaskRcnnConfig.
SETTINGS: dict[str, Any] = {
    "min_size_px": 800,
    "max_size_px": 1333,
    "exact_anchors": True,
    "sampling_ratio": 0,
    "roi_aligned": True,
    "mask_paste": "pixel_middles",
}


def mask_convs(weights: Mapping[str, Any], pattern: str) -> dict[str, Any]:
    """MaskRcnnConfig's field of that name by the widths of the layers whose keys are `pattern`; none of a
    model without masks."""
    layers = sorted(key for key in weights if re.fullmatch(pattern, key))
    return {"mask_convs": tuple(weights[key].shape[0] for key in layers)} if layers else {}


def background_first(rows: Tensor) -> Tensor:
    """(K + 1, …) with the background's row last → first, where torchvision has it."""
    return torch.roll(rows, 1, dims=0)


def no_background(rows: int) -> Edit:
    """An edit that puts `rows` rows of zeros, the background's, before those of the classes.

    Nothing reads them: a detection is never of the background.
    """
    return lambda tensor: torch.cat([tensor.new_zeros((rows, *tensor.shape[1:])), tensor])


#: Of the prediction layers, by our keys.
HEAD_EDITS: dict[str, Edit] = {
    f"roi_heads.{layer}.{part}": edit
    for part in ("weight", "bias")
    for layer, edit in (
        ("box_predictor.cls_score", background_first),
        ("box_predictor.bbox_pred", no_background(rows=4)),
        ("mask_predictor.mask_fcn_logits", no_background(rows=1)),
    )
}
#: Of the first convolution (O, 3, H, W) for B G R, which makes it one for R G B: the same function.
BGR_EDITS: dict[str, Edit] = {"backbone.body.conv1.weight": lambda weight: weight.flip(1)}


def rpn_edits(config: MaskRcnnConfig) -> dict[str, Edit]:
    """Of the RPN's outputs, rows by anchor: others have the ratios of a size next to each other, torchvision
    the sizes of a ratio. The same where a level has one size."""
    sizes, ratios = len(config.anchor_sizes_px[0]), len(config.anchor_ratios)

    def ratios_first(rows: Tensor) -> Tensor:
        return rows.unflatten(0, (sizes, ratios, -1)).transpose(0, 1).flatten(0, 2)

    return {
        f"rpn.head.{layer}.{part}": ratios_first
        for part in ("weight", "bias")
        for layer in ("cls_logits", "bbox_pred")
    }


def rgb_fractions(values: Iterable[float], *, bgr: bool) -> tuple[float, float, float]:
    """A colour of pixels from 0 to 255, B G R where `bgr`, as R G B of pixels from 0 to 1."""
    first, green, last = (float(value) / 255 for value in values)
    return (last, green, first) if bgr else (first, green, last)
