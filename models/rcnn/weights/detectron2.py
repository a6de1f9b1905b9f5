"""Detectron2's Mask and Faster R-CNN checkpoints: model-zoo files and those its trainer writes.

A file holds weights alone, not how they were trained. That stands in the config.yaml beside a trainer's file;
of the zoo's it is what the zoo's configurations say (configs/COCO-InstanceSegmentation, config/defaults.py).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Reader
from maskrt.models.foreign.class_names import name_classes
from maskrt.models.foreign.translate import translate
from maskrt.models.rcnn.config import C4, MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.rcnn.weights.conventions import (
    BGR_EDITS,
    HEAD_EDITS,
    SETTINGS,
    mask_convs,
    rgb_fractions,
    rpn_edits,
)
from maskrt.models.rcnn.weights.detectron2_config import FILE, read_config
from maskrt.runtime.errors import CheckpointError

CLASS_LAYER = "roi_heads.box_predictor.cls_score.weight"
RPN_LAYER = "proposal_generator.rpn_head.objectness_logits.weight"
MASK_LAYER = "roi_heads.mask_head.deconv.weight"
# Of pixels from 0 to 255, B G R (config/defaults.py: MODEL.PIXEL_MEAN and PIXEL_STD; the ResNeXt's stands in
# its own configuration).
PIXEL_MEAN, PIXEL_STD, RESNEXT_PIXEL_STD = (103.53, 116.28, 123.675), (1.0, 1.0, 1.0), (57.375, 57.12, 58.395)
WITHOUT_1X1 = ("resnet18", "resnet34")
# By blocks in res4, whether they are bottlenecks, and the channels a group and groups of res2's 3×3.
BACKBONES = {
    (2, False, 64, 1): "resnet18",
    (6, False, 64, 1): "resnet34",
    (6, True, 64, 1): "resnet50",
    (23, True, 64, 1): "resnet101",
    (23, True, 4, 32): "resnext101_32x4d",
    (23, True, 8, 32): "resnext101_32x8d",
}


def _names(body: str) -> tuple[tuple[str, str], ...]:
    """Our keys as regular expressions, and the files' in their place. body: the files' name of the ResNet."""
    blocks = [(rf"backbone\.body\.layer{layer}", rf"{body}.res{layer + 1}") for layer in (1, 2, 3, 4)] + [
        (r"roi_heads\.box_head\.res5", "roi_heads.res5")
    ]
    return (
        (r"backbone\.body\.conv1\.weight", rf"{body}.stem.conv1.weight"),
        (r"backbone\.body\.bn1\.(\w+)", rf"{body}.stem.conv1.norm.\1"),
        *(
            (rf"{our_layer}\.(\d+)\.{ours}", rf"{their_layer}.\1.{theirs}")
            for our_layer, their_layer in blocks
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
    """True if these are keys of Detectron2's R-CNNs, in the `model` of a file of its own or bare."""
    weights = content.get("model", content)
    return isinstance(weights, dict) and {CLASS_LAYER, RPN_LAYER} <= weights.keys()


def from_detectron2(
    content: dict[str, Any], *, class_names: list[str] | None, sha256: str, source: str
) -> Checkpoint:
    """A checkpoint from what `is_detectron2` recognised.

    class_names: without background; may be left out for COCO's 80. Raises CheckpointError where they are
    missing, a key or shape is not as expected, or the backbone is unknown.
    """
    weights = content.get("model", content)
    fpn = "backbone.fpn_output2.weight" in weights
    config, bgr = (_fpn_config if fpn else _c4_config)(weights, source), True
    beside = Path(source).with_name(FILE)
    if Path(source).suffix == ".pth" and beside.is_file():
        config, bgr = _as_trained(config, beside)
    # Buffers that older versions wrote: no weights, but what was configured.
    cells = [key for key in weights if key.startswith("proposal_generator.anchor_generator.cell_anchors.")]
    _check_anchors([weights[key] for key in sorted(cells)], config, source)
    return Checkpoint(
        config=config,
        classes=name_classes(config.num_classes - 1, class_names, source),
        state_dict=translate(
            weights,
            config,
            names=_names("backbone.bottom_up" if fpn else "backbone"),
            edits=HEAD_EDITS | rpn_edits(config) | (BGR_EDITS if bgr else {}),
            unused=[*cells, "pixel_mean", "pixel_std"],
            source=source,
        ),
        provenance={"source": "Detectron2"},
        sha256=sha256,
    )


def _fpn_config(weights: dict[str, Any], source: str) -> MaskRcnnConfig:
    return MaskRcnnConfig(
        fpn_channels=weights["backbone.fpn_output2.weight"].shape[0],
        rpn_post_nms_train=1000,
        **mask_convs(weights, r"roi_heads\.mask_head\.mask_fcn\d+\.weight"),
        **_common(weights, "backbone.bottom_up", source),
    )


def _c4_config(weights: dict[str, Any], source: str) -> MaskRcnnConfig:
    if "roi_heads.res5.0.conv1.weight" not in weights:
        raise CheckpointError(
            f"{source}: an R-CNN of Detectron2 with neither a feature pyramid nor res5 as its head, which "
            "is its DC5. Only FPN and C4 are read."
        )
    # The mask branch begins with the deconvolution, (in, out, 2, 2).
    width = weights[MASK_LAYER].shape[1] if MASK_LAYER in weights else C4.mask_convs[-1]
    # The ResNet's size_divisibility is 0: nothing is padded.
    return dataclasses.replace(
        C4, mask_convs=(width,), canvas_stride=1, **_common(weights, "backbone", source)
    )


def _as_trained(config: MaskRcnnConfig, path: Path) -> tuple[MaskRcnnConfig, bool]:
    """The model with the settings of the configuration at `path`, and whether it takes B G R."""
    trained = read_config(path, levels=len(config.anchor_sizes_px))
    settings = dict(trained.settings)
    settings["stride_in_1x1"] &= config.backbone not in WITHOUT_1X1
    if config.neck == "c4":
        settings["mask_roi_size"] = settings["box_roi_size"]  # one pooler serves both
    return dataclasses.replace(config, **settings), trained.bgr


def _common(weights: dict[str, Any], body: str, source: str) -> dict[str, Any]:
    """What the shapes tell, and the model zoo's settings where they do not. body: the ResNet's name."""
    blocks = {key.removeprefix(f"{body}.res4.").split(".")[0] for key in weights if f"{body}.res4." in key}
    bottlenecks = f"{body}.res4.0.conv3.weight" in weights
    second = weights[f"{body}.res2.0.conv2.weight"]
    layout = (len(blocks), bottlenecks, second.shape[1], second.shape[0] // second.shape[1])
    if layout not in BACKBONES:
        raise CheckpointError(
            f"{source}: its backbone, of {len(blocks)} blocks in res4 and a 3x3 convolution of shape "
            f"{tuple(second.shape)} in res2, is none of {', '.join(BACKBONES.values())}."
        )
    backbone = BACKBONES[layout]
    resnext = backbone.startswith("resnext")
    mean, std = (
        torch.as_tensor(weights.get(name, zoo), dtype=torch.float64).flatten().tolist()
        for name, zoo in (
            ("pixel_mean", PIXEL_MEAN),
            ("pixel_std", RESNEXT_PIXEL_STD if resnext else PIXEL_STD),
        )
    )
    return SETTINGS | {
        "task": "instance" if MASK_LAYER in weights else "detection",
        "num_classes": weights[CLASS_LAYER].shape[0],
        "backbone": backbone,
        # data/transforms: ResizeTransform, and ResizeShortestEdge.get_output_shape.
        "resize": "pil",
        "size_rounding": "nearest_by_side",
        # Weights of MSRA's ResNets have the stride there (config/defaults.py: RESNETS.STRIDE_IN_1X1).
        "stride_in_1x1": bottlenecks and not resnext,
        "mean": rgb_fractions(mean, bgr=True),
        "std": rgb_fractions(std, bgr=True),
    }


def _check_anchors(cells: list[Any], config: MaskRcnnConfig, source: str) -> None:
    expected = build_mask_rcnn(config).rpn.anchor_generator.cell_anchors
    for level, (ours, theirs) in enumerate(zip(expected, cells, strict=False)):
        theirs = torch.as_tensor(theirs)
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs, rtol=1e-4):
            raise CheckpointError(
                f"{source}: trained with the anchors {theirs.tolist()} on level {level} of its pyramid, but "
                f"only the model zoo's are known: {ours.tolist()}."
            )


DETECTRON2 = Reader("an R-CNN of Detectron2", is_detectron2, from_detectron2)
