"""Foreign checkpoints made of our own: a model's weights under another project's keys, order and layout.

Written from the sources that define them, not from the readers: Detectron2's (facebookresearch/detectron2,
modeling/) and MMDetection's (open-mmlab/mmdetection, mmdet/models/). The original implementations load them:
`python -m benchmarks.foreign_checkpoints`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Weights = dict[str, Tensor]
Names = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
DETECTRON2: Names = (
    (r"backbone\.body\.(conv1|bn1)", r"backbone.bottom_up.stem.\1"),
    (r"backbone\.body\.layer(\d)", lambda m: f"backbone.bottom_up.res{int(m[1]) + 1}"),
    (r"\.bn(\d)", r".conv\1.norm"),
    (r"\.downsample\.0", ".shortcut"),
    (r"\.downsample\.1", ".shortcut.norm"),
    (r"fpn\.inner_blocks\.(\d)\.0", lambda m: f"fpn_lateral{int(m[1]) + 2}"),
    (r"fpn\.layer_blocks\.(\d)\.0", lambda m: f"fpn_output{int(m[1]) + 2}"),
    (r"rpn\.head\.conv\.0\.0", "proposal_generator.rpn_head.conv"),
    (r"rpn\.head\.cls_logits", "proposal_generator.rpn_head.objectness_logits"),
    (r"rpn\.head\.bbox_pred", "proposal_generator.rpn_head.anchor_deltas"),
    (r"box_head\.fc(\d)", lambda m: f"box_head.fc{int(m[1]) - 5}"),
    (r"mask_head\.(\d)\.0", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}"),
    (r"mask_predictor\.conv5_mask", "mask_head.deconv"),
    (r"mask_predictor\.mask_fcn_logits", "mask_head.predictor"),
)
MMDETECTION: Names = (
    (r"backbone\.body", "backbone"),
    (r"backbone\.fpn\.inner_blocks\.(\d)\.0", r"neck.lateral_convs.\1.conv"),
    (r"backbone\.fpn\.layer_blocks\.(\d)\.0", r"neck.fpn_convs.\1.conv"),
    (r"rpn\.head\.conv\.0\.0", "rpn_head.rpn_conv"),
    (r"rpn\.head\.cls_logits", "rpn_head.rpn_cls"),
    (r"rpn\.head\.bbox_pred", "rpn_head.rpn_reg"),
    (r"roi_heads\.box_head\.fc6", "roi_head.bbox_head.shared_fcs.0"),
    (r"roi_heads\.box_head\.fc7", "roi_head.bbox_head.shared_fcs.1"),
    (r"roi_heads\.box_predictor\.cls_score", "roi_head.bbox_head.fc_cls"),
    (r"roi_heads\.box_predictor\.bbox_pred", "roi_head.bbox_head.fc_reg"),
    (r"roi_heads\.mask_head\.(\d)\.0", r"roi_head.mask_head.convs.\1.conv"),
    (r"roi_heads\.mask_predictor\.conv5_mask", "roi_head.mask_head.upsample"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits", "roi_head.mask_head.conv_logits"),
)


def detectron2_weights(state_dict: Weights) -> Weights:
    """As `model.state_dict()` of Detectron2's GeneralizedRCNN with an FPN, for B G R."""
    return _renamed(_for_bgr(_background_last(state_dict)), DETECTRON2)


def detectron2_c4_weights(state_dict: Weights) -> Weights:
    """The same without an FPN, of five sizes and three ratios of anchors."""
    weights = _for_bgr(_background_last(state_dict))
    for key in (key for key in weights if re.match(r"rpn\.head\.(cls_logits|bbox_pred)", key)):
        by_ratio = weights[key].unflatten(0, (3, 5, -1))
        weights[key] = torch.stack([by_ratio[:, size] for size in range(5)]).flatten(0, 2)
    weights = {key.replace("roi_heads.box_head.res5", "roi_heads.res5"): w for key, w in weights.items()}
    return {
        key.replace("backbone.bottom_up.", "backbone."): w for key, w in _renamed(weights, DETECTRON2).items()
    }


def mmdetection_weights(state_dict: Weights, *, caffe: bool = False) -> Weights:
    """As `model.state_dict()` of MMDetection's MaskRCNN. caffe: for B G R, as its Caffe configurations."""
    weights = _background_last(state_dict)
    return _renamed(_for_bgr(weights) if caffe else weights, MMDETECTION)


def _background_last(state_dict: Weights) -> Weights:
    changed = {}
    for key, tensor in state_dict.items():
        if "box_predictor.cls_score" in key:
            tensor = torch.cat([tensor[1:], tensor[:1]])
        if "box_predictor.bbox_pred" in key:
            tensor = tensor[4:]  # the background has no box
        if "mask_fcn_logits" in key:
            tensor = tensor[1:]  # nor a mask
        changed[key] = tensor.clone()
    return changed


def _for_bgr(weights: Weights) -> Weights:
    first = "backbone.body.conv1.weight"
    return weights | {first: weights[first][:, [2, 1, 0]].clone()}


def _renamed(weights: Weights, names: Names) -> Weights:
    renamed = {}
    for key, tensor in weights.items():
        for pattern, theirs in names:
            key = re.sub(pattern, theirs, key)
        renamed[key] = tensor
    return renamed


def arrays(weights: Weights) -> dict[str, np.ndarray]:
    """The same as numpy's arrays, which pickles hold."""
    return {key: tensor.numpy() for key, tensor in weights.items()}
