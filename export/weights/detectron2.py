"""Detectron2's Mask R-CNN checkpoints: model-zoo files and those its trainer writes.

A file holds weights alone, not how they were trained. What is not in their shapes is taken as in the zoo's
configurations (detectron2's configs/COCO-InstanceSegmentation and config/defaults.py): see `_config`.
"""

from __future__ import annotations

import re
from typing import Any

import torch

from export.weights.classes import name_classes
from export.weights.conventions import BGR_EDITS, HEAD_EDITS, SETTINGS, rgb_fractions
from export.weights.translate import translate
from runtime.errors import CheckpointError
from training.checkpoint import Checkpoint
from training.models import MaskRcnnConfig, build_mask_rcnn

CLASS_LAYER = "roi_heads.box_predictor.cls_score.weight"
MASK_LAYER = "roi_heads.mask_head.deconv.weight"
# Of pixels from 0 to 255, B G R (config/defaults.py: MODEL.PIXEL_MEAN and PIXEL_STD; the ResNeXt's stands in
# its own configuration).
PIXEL_MEAN, PIXEL_STD, RESNEXT_PIXEL_STD = (103.53, 116.28, 123.675), (1.0, 1.0, 1.0), (57.375, 57.12, 58.395)
# By blocks in res4, whether they are bottlenecks, and the channels a group and groups of res2's 3×3.
BACKBONES = {
    (2, False, 64, 1): "resnet18",
    (6, False, 64, 1): "resnet34",
    (6, True, 64, 1): "resnet50",
    (23, True, 64, 1): "resnet101",
    (23, True, 4, 32): "resnext101_32x4d",
    (23, True, 8, 32): "resnext101_32x8d",
}
# Our keys as regular expressions, and the files' in their place.
NAMES = (
    (r"backbone\.body\.conv1\.weight", r"backbone.bottom_up.stem.conv1.weight"),
    (r"backbone\.body\.bn1\.(\w+)", r"backbone.bottom_up.stem.conv1.norm.\1"),
    *(
        (rf"backbone\.body\.layer{layer}\.(\d+)\.{ours}", rf"backbone.bottom_up.res{layer + 1}.\1.{theirs}")
        for layer in (1, 2, 3, 4)
        for ours, theirs in (
            (r"(conv\d)\.weight", r"\2.weight"),
            (r"bn(\d)\.(\w+)", r"conv\2.norm.\3"),
            (r"downsample\.0\.weight", r"shortcut.weight"),
            (r"downsample\.1\.(\w+)", r"shortcut.norm.\2"),
        )
    ),
    *(
        (rf"backbone\.fpn\.{ours}_blocks\.{level - 2}\.0\.(\w+)", rf"backbone.fpn_{theirs}{level}.\1")
        for level in (2, 3, 4, 5)
        for ours, theirs in (("inner", "lateral"), ("layer", "output"))
    ),
    (r"rpn\.head\.conv\.0\.0\.(\w+)", r"proposal_generator.rpn_head.conv.\1"),
    (r"rpn\.head\.cls_logits\.(\w+)", r"proposal_generator.rpn_head.objectness_logits.\1"),
    (r"rpn\.head\.bbox_pred\.(\w+)", r"proposal_generator.rpn_head.anchor_deltas.\1"),
    (r"roi_heads\.box_head\.fc6\.(\w+)", r"roi_heads.box_head.fc1.\1"),
    (r"roi_heads\.box_head\.fc7\.(\w+)", r"roi_heads.box_head.fc2.\1"),
    (r"(roi_heads\.box_predictor\..*)", r"\1"),
    *(
        (rf"roi_heads\.mask_head\.{layer}\.0\.(\w+)", rf"roi_heads.mask_head.mask_fcn{layer + 1}.\1")
        for layer in range(8)
    ),
    (r"roi_heads\.mask_predictor\.conv5_mask\.(\w+)", r"roi_heads.mask_head.deconv.\1"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.(\w+)", r"roi_heads.mask_head.predictor.\1"),
)


def is_detectron2(content: dict[str, Any]) -> bool:
    """Whether these are the keys of Detectron2's Mask R-CNN, in the `model` of a file of its own or bare."""
    weights = content.get("model", content)
    return isinstance(weights, dict) and {CLASS_LAYER, MASK_LAYER} <= weights.keys()


def from_detectron2(
    content: dict[str, Any], *, class_names: list[str] | None, sha256: str, source: str
) -> Checkpoint:
    """A checkpoint from what `is_detectron2` recognised.

    class_names: without background; may be left out for COCO's 80. Raises CheckpointError where they are
    missing, a key or shape is not as expected, or the backbone is unknown.
    """
    weights = content.get("model", content)
    config = _config(weights, source)
    # Buffers that older versions wrote: no weights, but what was configured.
    cells = [key for key in weights if key.startswith("proposal_generator.anchor_generator.cell_anchors.")]
    _check_anchors([weights[key] for key in sorted(cells)], config, source)
    return Checkpoint(
        config=config,
        classes=name_classes(config.num_classes - 1, class_names, source),
        state_dict=translate(
            weights,
            config,
            names=NAMES,
            edits=HEAD_EDITS | BGR_EDITS,
            unused=[*cells, "pixel_mean", "pixel_std"],
            source=source,
        ),
        provenance={"source": "Detectron2"},
        sha256=sha256,
    )


def _config(weights: dict[str, Any], source: str) -> MaskRcnnConfig:
    """What the shapes tell, and the model zoo's settings where they do not."""
    blocks = {key.split(".")[3] for key in weights if key.startswith("backbone.bottom_up.res4.")}
    bottlenecks = "backbone.bottom_up.res4.0.conv3.weight" in weights
    second = weights["backbone.bottom_up.res2.0.conv2.weight"]
    layout = (len(blocks), bottlenecks, second.shape[1], second.shape[0] // second.shape[1])
    if layout not in BACKBONES:
        raise CheckpointError(
            f"{source}: its backbone, of {len(blocks)} blocks in res4 and a 3x3 convolution of shape "
            f"{tuple(second.shape)} in res2, is none of {', '.join(BACKBONES.values())}."
        )
    backbone = BACKBONES[layout]
    resnext = backbone.startswith("resnext")
    mean = torch.as_tensor(weights.get("pixel_mean", PIXEL_MEAN), dtype=torch.float64)
    std = weights.get("pixel_std", RESNEXT_PIXEL_STD if resnext else PIXEL_STD)
    std = torch.as_tensor(std, dtype=torch.float64)
    mask_convs = [key for key in weights if re.fullmatch(r"roi_heads\.mask_head\.mask_fcn\d+\.weight", key)]
    return MaskRcnnConfig(
        num_classes=weights[CLASS_LAYER].shape[0],
        backbone=backbone,
        # Weights of MSRA's ResNets have the stride there (config/defaults.py: RESNETS.STRIDE_IN_1X1).
        stride_in_1x1=bottlenecks and not resnext,
        fpn_channels=weights["backbone.fpn_output2.weight"].shape[0],
        mean=rgb_fractions(mean.flatten().tolist(), bgr=True),
        std=rgb_fractions(std.flatten().tolist(), bgr=True),
        mask_convs=tuple(weights[key].shape[0] for key in sorted(mask_convs)),
        **SETTINGS,
    )


def _check_anchors(cells: list[Any], config: MaskRcnnConfig, source: str) -> None:
    expected = build_mask_rcnn(config).rpn.anchor_generator.cell_anchors
    for level, (ours, theirs) in enumerate(zip(expected, cells, strict=False)):
        theirs = torch.as_tensor(theirs)
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs, rtol=1e-4):
            raise CheckpointError(
                f"{source}: trained with the anchors {theirs.tolist()} on level {level} of its pyramid, but "
                f"only the model zoo's are known: {ours.tolist()}."
            )
