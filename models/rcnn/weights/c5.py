"""Checkpoints of the single-level Mask R-CNN, https://github.com/Okery/PyTorch-Simple-MaskRCNN.

What its trainer writes (`save_ckpt` in utils.py: the weights under "model"), and a bare state dict, as of
`maskrcnn_resnet50(pretrained=True, num_classes)`: that takes over the weights of torchvision's
maskrcnn_resnet50_fpn by their order, but not those of the neck and of the RPN's last layers, and where there
are not 91 classes not the classes' own. These are random until it is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Reader
from maskrt.models.foreign.translate import translate
from maskrt.models.parts.voc import VOC
from maskrt.models.rcnn.config import C5
from maskrt.models.rcnn.weights.conventions import mask_convs, rpn_edits
from maskrt.models.rcnn.weights.torchvision import classes_by_id, resnet_of

NECK_LAYER = "backbone.layer_block_module.weight"
CLASS_LAYER = "head.box_predictor.cls_score.weight"
# Our keys as regular expressions, and the files' in their place.
NAMES = (
    (r"backbone\.body\.(.*)", r"backbone.body.\1"),
    (r"backbone\.fpn\.inner_blocks\.0\.0\.(\w+)", r"backbone.inner_block_module.\1"),
    (r"backbone\.fpn\.layer_blocks\.0\.0\.(\w+)", r"backbone.layer_block_module.\1"),
    (r"rpn\.head\.conv\.0\.0\.(\w+)", r"rpn.head.conv.\1"),
    (r"rpn\.head\.(cls_logits|bbox_pred)\.(\w+)", r"rpn.head.\1.\2"),
    (r"roi_heads\.box_head\.fc6\.(\w+)", r"head.box_predictor.fc1.\1"),
    (r"roi_heads\.box_head\.fc7\.(\w+)", r"head.box_predictor.fc2.\1"),
    (r"roi_heads\.box_predictor\.(\w+)\.(\w+)", r"head.box_predictor.\1.\2"),
    (
        r"roi_heads\.mask_head\.(\d)\.0\.(\w+)",
        lambda key: f"head.mask_predictor.mask_fcn{int(key[1]) + 1}.{key[2]}",
    ),
    (r"roi_heads\.mask_predictor\.conv5_mask\.(\w+)", r"head.mask_predictor.mask_conv5.\1"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.(\w+)", r"head.mask_predictor.mask_fcn_logits.\1"),
)


def weights_of(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict of a file, which its trainer puts under "model"."""
    inner = content.get("model")
    return inner if isinstance(inner, dict) else content


def is_single_level(content: dict[str, Any]) -> bool:
    """True if these are the keys of this project's MaskRCNN."""
    weights = weights_of(content)
    return all(isinstance(weights.get(layer), Tensor) for layer in (NECK_LAYER, CLASS_LAYER))


def from_single_level(
    content: dict[str, Any], *, class_names: list[str] | None, sha256: str, source: str
) -> Checkpoint:
    """A checkpoint from what `is_single_level` recognised.

    class_names: without background; may be left out for COCO's 90 ids and Pascal VOC's 20 classes, which its
    data sets have. Raises CheckpointError where they are missing, or a key or shape is not as expected.
    """
    weights = weights_of(content)
    config = replace(
        C5,
        backbone=resnet_of(weights, source),
        num_classes=weights[CLASS_LAYER].shape[0],
        fpn_channels=weights[NECK_LAYER].shape[0],
        **mask_convs(weights, r"head\.mask_predictor\.mask_fcn\d\.weight"),
    )
    if class_names is None and config.num_classes == len(VOC):
        class_names = list(VOC[1:])
    return Checkpoint(
        config=config,
        classes=classes_by_id(config.num_classes, class_names, source),
        state_dict=translate(weights, config, names=NAMES, edits=rpn_edits(config), source=source),
        provenance={"source": "Okery/PyTorch-Simple-MaskRCNN"},
        sha256=sha256,
    )


SINGLE_LEVEL = Reader("a single-level Mask R-CNN", is_single_level, from_single_level)
