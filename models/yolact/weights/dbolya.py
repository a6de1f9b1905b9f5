"""Checkpoints of YOLACT's authors' code, https://github.com/dbolya/yolact, of all the configurations in it.

A file is a bare state dict. What its weights do not tell, the size of pictures and of priors, stands in the
configuration that its name begins with, as yolact_im700_54_800000.pth: CONFIGURATION_EPOCH_ITERATION. Other
names are read as of the base, whose settings `--set` changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Reader
from maskrt.models.foreign.class_names import name_classes
from maskrt.models.foreign.translate import translate
from maskrt.models.yolact.config import PUBLISHED, PUBLISHED_PLUS, YolactConfig
from maskrt.runtime.errors import CheckpointError

CLASS_LAYER = "prediction_layers.0.conf_layer.weight"
BOX_LAYER = "prediction_layers.0.bbox_layer.weight"
MASK_LAYER = "prediction_layers.0.mask_layer.weight"
MASK_IOU_LAYER = "maskiou_net.maskiou_net.0.weight"
OFFSETS = re.compile(r"backbone\.layers\.2\.(\d+)\.conv2\.conv_offset_mask\.weight")
DARKNET_LAYER = "backbone._preconv.0.weight"
SEMANTIC_LAYER = "semantic_seg_conv.weight"
# By the blocks in the third stage of the trunk: arXiv:1512.03385, table 1.
RESNETS = {6: "resnet50", 23: "resnet101"}
SAVED = re.compile(r"(?P<name>.+)_\d+_\d+(?:_interrupt)?\.pth")
#: What the configurations of these names have otherwise than the base. Sizes of priors are rounded down.
SETTINGS: dict[str, dict[str, Any]] = {
    "yolact_im400": {
        "min_size_px": 400,
        "max_size_px": 400,
        "prior_sizes_px": ((17.0,), (34.0,), (69.0,), (139.0,), (279.0,)),
    },
    "yolact_im700": {
        "min_size_px": 700,
        "max_size_px": 700,
        "prior_sizes_px": ((30.0,), (61.0,), (122.0,), (244.0,), (488.0,)),
        "masks_an_image": 300,
    },
    "yolact_resnet50_pascal": {
        "prior_sizes_px": ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,)),
        "square_priors": False,
    },
}
PASCAL = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"),
    *("dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
# Our keys as regular expressions, and the files' in their place. The files' pyramid begins at the top.
NAMES = (
    (
        r"backbone\.body\.layer(\d)\.(.*)\.offsets\.(\w+)",
        lambda key: f"backbone.layers.{int(key[1]) - 1}.{key[2]}.conv_offset_mask.{key[3]}",
    ),
    (r"backbone\.body\.stem\.(.*)", r"backbone._preconv.\1"),
    (r"backbone\.body\.layer(\d)\.(.*)", lambda key: f"backbone.layers.{int(key[1]) - 1}.{key[2]}"),
    (r"backbone\.body\.(.*)", r"backbone.\1"),
    (r"backbone\.fpn\.laterals\.(\d)\.(\w+)", lambda key: f"fpn.lat_layers.{2 - int(key[1])}.{key[2]}"),
    (r"backbone\.fpn\.levels\.(\d)\.(\w+)", lambda key: f"fpn.pred_layers.{2 - int(key[1])}.{key[2]}"),
    (r"backbone\.fpn\.extra\.(\d)\.(\w+)", r"fpn.downsample_layers.\1.\2"),
    (r"protonet\.before\.(\d)\.(\w+)", lambda key: f"proto_net.{2 * int(key[1])}.{key[2]}"),
    (r"protonet\.after\.(\w+)", r"proto_net.8.\1"),
    (r"protonet\.last\.(\w+)", r"proto_net.10.\1"),
    (r"head\.shared\.0\.(\w+)", r"prediction_layers.0.upfeature.0.\1"),
    (r"head\.classes\.(\w+)", r"prediction_layers.0.conf_layer.\1"),
    (r"head\.boxes\.(\w+)", r"prediction_layers.0.bbox_layer.\1"),
    (r"head\.coefficients\.(\w+)", r"prediction_layers.0.mask_layer.\1"),
    (r"semantic\.(\w+)", r"semantic_seg_conv.\1"),
    (r"mask_iou\.layers\.(\d)\.(\w+)", lambda key: f"maskiou_net.maskiou_net.{2 * int(key[1])}.{key[2]}"),
    (r"mask_iou\.last\.(\w+)", r"maskiou_net.maskiou_net.10.\1"),
)
#: Of files of its first version: a second copy of the trunk, and a third level below P5.
RETIRED = re.compile(r"backbone\.layer\d.*|fpn\.downsample_layers\.[2-9]\..*|.*\.num_batches_tracked")


def is_yolact(content: dict[str, Any]) -> bool:
    """True if these are the keys of the authors' Yolact."""
    return all(isinstance(content.get(layer), Tensor) for layer in (CLASS_LAYER, BOX_LAYER, MASK_LAYER))


def from_yolact(
    weights: dict[str, Tensor], *, class_names: list[str] | None, sha256: str, source: str
) -> Checkpoint:
    """A checkpoint from a state dict whose keys `is_yolact` recognised.

    class_names: without background; may be left out for COCO's 80 and Pascal's 20. source: the file, whose
    name tells its configuration. Raises CheckpointError where names are missing, or a key or shape is not
    as expected.
    """
    named = SAVED.fullmatch(Path(source).name)
    name = named["name"] if named else ""
    config = _config(weights, name, source)
    pascal = class_names is None and config.classes_found == len(PASCAL) and "pascal" in name
    return Checkpoint(
        config=config,
        classes=name_classes(config.classes_found, PASCAL if pascal else class_names, source),
        state_dict=translate(
            weights,
            config,
            names=NAMES,
            edits={},
            unused=[key for key in weights if RETIRED.fullmatch(key)],
            source=source,
        ),
        provenance={"source": "dbolya/yolact", "configuration": name or "yolact_base"},
        sha256=sha256,
    )


def _config(weights: Mapping[str, Tensor], name: str, source: str) -> YolactConfig:
    """By the weights' shapes, and by the configuration of that name."""
    cell = weights[BOX_LAYER].shape[0] // 4
    base = replace(PUBLISHED, **SETTINGS.get(name, {}))
    if MASK_IOU_LAYER in weights:
        base = replace(PUBLISHED_PLUS, deformable_every=_deformable_every(weights))
    if cell != base.priors_a_cell:
        raise CheckpointError(
            f"{source}: has {cell} priors a cell, expected {base.priors_a_cell}. What is read is listed in "
            "docs/checkpoints.md."
        )
    colours: dict[str, Any] = {}
    if DARKNET_LAYER in weights:
        backbone, colours = "darknet53", {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    else:
        blocks = len({key.split(".")[3] for key in weights if key.startswith("backbone.layers.2.")})
        if blocks not in RESNETS:
            raise CheckpointError(
                f"{source}: a trunk with {blocks} blocks in its third stage is none of "
                f"{', '.join(RESNETS.values())} and darknet53."
            )
        backbone = RESNETS[blocks]
    return replace(
        base,
        backbone=backbone,
        num_classes=weights[CLASS_LAYER].shape[0] // cell,
        prototypes=weights[MASK_LAYER].shape[0] // cell,
        channels=weights[CLASS_LAYER].shape[1],
        **colours,
    )


def _deformable_every(weights: Mapping[str, Tensor]) -> int:
    """As the third stage, the longest, has it: 1 of a ResNet-50, 3 of a ResNet-101; 0 of none."""
    deformed = sorted(int(m[1]) for key in weights if (m := OFFSETS.fullmatch(key)))
    return deformed[1] if len(deformed) > 1 else 0


YOLACT = Reader("a checkpoint of dbolya/yolact", is_yolact, from_yolact)
