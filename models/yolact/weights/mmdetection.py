"""MMDetection's YOLACT, of its versions 2 and 3: another network than its authors'.

Its pyramid has no ReLU, P6 is made of C5, the background is the last class of each prior, and boxes are
clipped before the NMS (configs/yolact/yolact_r50_1x8_coco.py; mmdet/models/dense_heads/yolact_head.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Reader
from maskrt.models.foreign.class_names import name_classes
from maskrt.models.foreign.translate import translate
from maskrt.models.rcnn.weights.conventions import rgb_fractions
from maskrt.models.rcnn.weights.mmdetection import read_colours
from maskrt.models.yolact.config import YolactConfig
from maskrt.runtime.errors import CheckpointError

CLASS_LAYER, BOX_LAYER, MASK_LAYER = (f"bbox_head.conv_{kind}.weight" for kind in ("cls", "reg", "coeff"))
SEMANTIC_LAYERS = ("segm_head.segm_conv", "mask_head.segm_branch.segm_conv")  # of version 2, of version 3
# By the blocks in layer3: arXiv:1512.03385, table 1.
RESNETS = {6: "resnet50", 23: "resnet101"}
# Our keys as regular expressions, and the files' in their place.
NAMES = (
    (r"backbone\.body\.(.*)", r"backbone.\1"),
    (r"backbone\.fpn\.laterals\.(\d)\.(\w+)", r"neck.lateral_convs.\1.conv.\2"),
    (r"backbone\.fpn\.levels\.(\d)\.(\w+)", r"neck.fpn_convs.\1.conv.\2"),
    (r"backbone\.fpn\.extra\.(\d)\.(\w+)", lambda key: f"neck.fpn_convs.{3 + int(key[1])}.conv.{key[2]}"),
    (r"protonet\.before\.(\d)\.(\w+)", lambda key: f"mask_head.protonet.{2 * int(key[1])}.{key[2]}"),
    (r"protonet\.after\.(\w+)", r"mask_head.protonet.8.\1"),
    (r"protonet\.last\.(\w+)", r"mask_head.protonet.10.\1"),
    (r"head\.shared\.0\.(\w+)", r"bbox_head.head_convs.0.conv.\1"),
    (r"head\.classes\.(\w+)", r"bbox_head.conv_cls.\1"),
    (r"head\.boxes\.(\w+)", r"bbox_head.conv_reg.\1"),
    (r"head\.coefficients\.(\w+)", r"bbox_head.conv_coeff.\1"),
)


def is_mmdetection(content: dict[str, Any]) -> bool:
    """True if these are keys of MMDetection's YOLACT, in the `state_dict` of a file."""
    weights = content.get("state_dict")
    return isinstance(weights, dict) and {CLASS_LAYER, BOX_LAYER, MASK_LAYER} <= weights.keys()


def from_mmdetection(
    content: dict[str, Any], *, class_names: list[str] | None, sha256: str, source: str
) -> Checkpoint:
    """A checkpoint from what `is_mmdetection` recognised.

    class_names: without background; may be left out where the file has them, or they are COCO's 80. Raises
    CheckpointError where they or the configuration are missing, or a key or shape is not as expected.
    """
    weights, meta = content["state_dict"], content.get("meta") or {}
    config = _config(weights, meta.get("config") or meta.get("cfg") or "", source)
    semantic = next((layer for layer in SEMANTIC_LAYERS if f"{layer}.weight" in weights), SEMANTIC_LAYERS[0])
    first = background_first(config.priors_a_cell)
    names = class_names or meta.get("CLASSES") or meta.get("dataset_meta", {}).get("classes")
    return Checkpoint(
        config=config,
        classes=name_classes(config.classes_found, names, source),
        state_dict=translate(
            weights,
            config,
            names=(*NAMES, (r"semantic\.(\w+)", rf"{semantic}.\1")),
            edits={"head.classes.weight": first, "head.classes.bias": first},
            unused=[key for key in weights if key.endswith(".num_batches_tracked")],
            source=source,
        ),
        provenance={"source": "MMDetection"},
        sha256=sha256,
    )


def background_first(priors: int) -> Callable[[Tensor], Tensor]:
    """An edit of a layer whose rows are those of `priors` priors, each of its classes: the last class
    first."""
    return lambda rows: torch.roll(rows.unflatten(0, (priors, -1)), 1, dims=1).flatten(0, 1)


def _config(weights: Mapping[str, Tensor], text: str, source: str) -> YolactConfig:
    colours = read_colours(text, source)
    blocks = len({key.split(".")[2] for key in weights if key.startswith("backbone.layer3.")})
    if blocks not in RESNETS or colours.caffe or not colours.rgb:
        style, order = "Caffe" if colours.caffe else "PyTorch", "RGB" if colours.rgb else "BGR"
        raise CheckpointError(
            f"{source}: a trunk with {blocks} blocks in layer3, {style} style, for {order}; expected "
            f"{' or '.join(RESNETS.values())} in PyTorch style, for RGB."
        )
    config = YolactConfig(
        backbone=RESNETS[blocks],
        placement="stretch",
        fpn_relu=False,
        extra_levels_from="C5",
        clip_before_nms=True,
        prior_ratios=(0.5, 1.0, 2.0),
        mean=rgb_fractions(colours.mean, bgr=False),
        std=rgb_fractions(colours.std, bgr=False),
        channels=weights[CLASS_LAYER].shape[1],
        num_classes=weights[CLASS_LAYER].shape[0] // 3,
        prototypes=weights[MASK_LAYER].shape[0] // 3,
    )
    if (cell := weights[BOX_LAYER].shape[0] // 4) != config.priors_a_cell:
        raise CheckpointError(f"{source}: has {cell} priors a cell, expected {config.priors_a_cell}.")
    return config


MMDETECTION = Reader("MMDetection's YOLACT", is_mmdetection, from_mmdetection)
