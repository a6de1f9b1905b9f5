"""torchvision's own checkpoints: Mask, Faster and Keypoint R-CNN on ResNets and MobileNet, fine-tuned ones.

A bare state dict does not say how it was built; its keys and shapes do, but for what the two MobileNets have
different, which only the name of their file tells.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torchvision.models.detection import KeypointRCNN_ResNet50_FPN_Weights, MaskRCNN_ResNet50_FPN_Weights

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Reader
from maskrt.models.parts.backbones import MOBILENET
from maskrt.models.rcnn.config import MOBILENET as MOBILENET_CONFIG
from maskrt.models.rcnn.config import V2, MaskRcnnConfig
from maskrt.runtime.contract import Category, Keypoints
from maskrt.runtime.errors import CheckpointError

CLASS_LAYER = "roi_heads.box_predictor.cls_score.weight"
RPN_LAYER = "rpn.head.cls_logits.weight"
KEYPOINT_LAYER = "roi_heads.keypoint_predictor.kps_score_lowres.weight"
LAYERS = {"instance": "roi_heads.mask_predictor.mask_fcn_logits.weight", "keypoint": KEYPOINT_LAYER}
# COCO's, from its person_keypoints files; pairs of points from 0.
SKELETON = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8)),
    *((7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
# Since torchvision 0.13, and before; its modules rename the old keys themselves when they load.
FPN_LAYERS = ("backbone.fpn.layer_blocks.0.0.weight", "backbone.fpn.layer_blocks.0.weight")
MASK_CONV = re.compile(r"roi_heads\.mask_head\.(?:mask_fcn)?(\d+)(?:\.0)?\.weight")
KEYPOINT_CONV = re.compile(r"roi_heads\.keypoint_head\.(\d+)\.weight")
# Residual blocks in layer3 by whether they are bottlenecks: arXiv:1512.03385, table 1.
RESNETS = {(2, False): "resnet18", (6, False): "resnet34", (6, True): "resnet50", (23, True): "resnet101"}
# fasterrcnn_mobilenet_v3_large_fpn, and what _320_fpn has otherwise.
MOBILENET_FPN = dataclasses.replace(MOBILENET_CONFIG, rpn_score_threshold=0.05)
MOBILENET_320_FPN = dataclasses.replace(
    MOBILENET_FPN, min_size_px=320, max_size_px=640, rpn_pre_nms_test=150, rpn_post_nms_test=150
)


def is_torchvision(content: dict[str, Any]) -> bool:
    """True if these are the keys of torchvision's MaskRCNN, FasterRCNN or KeypointRCNN."""
    return all(isinstance(content.get(layer), Tensor) for layer in (CLASS_LAYER, RPN_LAYER))


def from_torchvision(
    state_dict: dict[str, Tensor], *, class_names: list[str] | None, sha256: str, source: str
) -> Checkpoint:
    """A checkpoint from a state dict whose keys `is_torchvision` recognised.

    class_names: without background; may be left out for COCO's 91. Raises CheckpointError where they are
    missing or the layout is unknown.
    """
    num_classes = state_dict[CLASS_LAYER].shape[0]
    base = _base(state_dict, source)
    task = next((task for task, layer in LAYERS.items() if layer in state_dict), "detection")
    keypoints = _keypoints(state_dict[KEYPOINT_LAYER].shape[1]) if task == "keypoint" else None
    is_coco_person = task == "keypoint" and num_classes == 2 and class_names is None
    trained_norm = any(
        key.startswith("backbone.body.") and key.endswith("num_batches_tracked") for key in state_dict
    )
    # torchvision sets the frozen norms' epsilon to 0 for the COCO weights of its first ResNets.
    frozen_epsilon = base.frozen_bn_epsilon if trained_norm or base.backbone == MOBILENET else 0.0
    config = dataclasses.replace(
        base,
        task=task,
        num_keypoints=len(keypoints.names) if keypoints else base.num_keypoints,
        num_classes=num_classes,
        fpn_channels=next(state_dict[key].shape[0] for key in FPN_LAYERS if key in state_dict),
        mask_convs=_widths(MASK_CONV, state_dict) or base.mask_convs,
        keypoint_convs=_widths(KEYPOINT_CONV, state_dict) or base.keypoint_convs,
        norm="bn" if trained_norm else "frozen_bn",
        frozen_bn_epsilon=frozen_epsilon,
    )
    return Checkpoint(
        config=config,
        classes=classes_by_id(num_classes, ["person"] if is_coco_person else class_names, source),
        state_dict=state_dict,
        provenance={"source": "torchvision state dict"},
        keypoints=keypoints,
        sha256=sha256,
    )


def _base(state_dict: dict[str, Tensor], source: str) -> MaskRcnnConfig:
    """The builder of torchvision's that the weights are of, with its backbone."""
    if "backbone.body.16.0.weight" in state_dict:  # MobileNetV3-large's last convolution
        return MOBILENET_320_FPN if "_320_" in Path(source).name else MOBILENET_FPN
    second_version = "roi_heads.box_head.0.0.weight" in state_dict
    return dataclasses.replace(
        V2 if second_version else MaskRcnnConfig(), backbone=resnet_of(state_dict, source)
    )


def resnet_of(state_dict: Mapping[str, Tensor], source: str) -> str:
    """The ResNet under these weights. Raises CheckpointError where it is none of torchvision's."""
    layer3 = {key.split(".")[3] for key in state_dict if key.startswith("backbone.body.layer3.")}
    layout = (len(layer3), "backbone.body.layer3.0.conv3.weight" in state_dict)
    if layout not in RESNETS:
        raise CheckpointError(
            f"{source}: a backbone with {len(layer3)} blocks in layer3 is none of torchvision's "
            f"{', '.join(RESNETS.values())} and {MOBILENET}."
        )
    return RESNETS[layout]


def _widths(layers: re.Pattern[str], state_dict: dict[str, Tensor]) -> tuple[int, ...]:
    """Output channels of a head's convolutions, in order."""
    found = {int(m[1]): weight.shape[0] for key, weight in state_dict.items() if (m := layers.fullmatch(key))}
    return tuple(found[number] for number in sorted(found))


def coco_points() -> Keypoints:
    """COCO's of a person."""
    return Keypoints(tuple(KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.meta["keypoint_names"]), SKELETON)


def _keypoints(count: int) -> Keypoints:
    """Of COCO's person where there are as many, else points with numbers for names."""
    if count == len(coco_points().names):
        return coco_points()
    return Keypoints(tuple(f"point {number}" for number in range(count)), ())


def classes_by_id(num_classes: int, names: list[str] | None, source: str) -> tuple[Category, ...]:
    """Categories of these names, of COCO's 90 ids without names. num_classes: with background."""
    if names is None:
        coco = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
        if num_classes != len(coco):
            raise CheckpointError(
                f"{source}: a state dict of {num_classes - 1} classes without names (only those of COCO's "
                f"{len(coco) - 1} are known). Name them: --classes name1,name2,…"
            )
        names = coco[1:]
    return tuple(Category(id=i, name=name) for i, name in enumerate(names, start=1))


TORCHVISION = Reader("a state dict of torchvision's R-CNNs", is_torchvision, from_torchvision)
