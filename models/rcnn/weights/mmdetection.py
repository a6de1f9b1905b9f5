"""MMDetection's Mask and Faster R-CNN checkpoints, of its versions 2 and 3.

What the weights do not tell (colours, where a block has its stride) stands in the configuration, which
MMDetection puts into its files as text: `Colours`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Reader
from maskrt.models.foreign.class_names import name_classes
from maskrt.models.foreign.translate import translate
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.weights.conventions import BGR_EDITS, HEAD_EDITS, SETTINGS, mask_convs, rgb_fractions
from maskrt.runtime.errors import CheckpointError

CLASS_LAYER = "roi_head.bbox_head.fc_cls.weight"
RPN_LAYER = "rpn_head.rpn_cls.weight"
MASK_LAYER = "roi_head.mask_head.conv_logits.weight"
# By blocks in layer3, whether they are bottlenecks, and the channels a group of layer1's 3×3.
BACKBONES = {
    (2, False, 64): "resnet18",
    (6, True, 64): "resnet50",
    (23, True, 64): "resnet101",
    (23, True, 4): "resnext101_32x4d",
    (23, True, 8): "resnext101_32x8d",
}
# Of the RPN's anchor generator. A scale is in strides of the level: sides of 32 px on P2 to 512 px on P6.
ANCHORS = {"scales": [8], "ratios": [0.5, 1.0, 2.0], "strides": [4, 8, 16, 32, 64]}
# Our keys as regular expressions, and the files' in their place.
NAMES = (
    (r"backbone\.body\.(.*)", r"backbone.\1"),
    (r"backbone\.fpn\.inner_blocks\.(\d)\.0\.(\w+)", r"neck.lateral_convs.\1.conv.\2"),
    (r"backbone\.fpn\.layer_blocks\.(\d)\.0\.(\w+)", r"neck.fpn_convs.\1.conv.\2"),
    (r"rpn\.head\.conv\.0\.0\.(\w+)", r"rpn_head.rpn_conv.\1"),
    (r"rpn\.head\.cls_logits\.(\w+)", r"rpn_head.rpn_cls.\1"),
    (r"rpn\.head\.bbox_pred\.(\w+)", r"rpn_head.rpn_reg.\1"),
    (r"roi_heads\.box_head\.fc6\.(\w+)", r"roi_head.bbox_head.shared_fcs.0.\1"),
    (r"roi_heads\.box_head\.fc7\.(\w+)", r"roi_head.bbox_head.shared_fcs.1.\1"),
    (r"roi_heads\.box_predictor\.cls_score\.(\w+)", r"roi_head.bbox_head.fc_cls.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(\w+)", r"roi_head.bbox_head.fc_reg.\1"),
    (r"roi_heads\.mask_head\.(\d)\.0\.(\w+)", r"roi_head.mask_head.convs.\1.conv.\2"),
    (r"roi_heads\.mask_predictor\.conv5_mask\.(\w+)", r"roi_head.mask_head.upsample.\1"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.(\w+)", r"roi_head.mask_head.conv_logits.\1"),
)


@dataclass(frozen=True)
class Colours:
    """What a configuration says of the network's input and of its first convolutions.

    mean, std: of pixels from 0 to 255, in the order that the network takes them, R G B where `rgb`, else
    B G R. caffe: blocks have their stride in the first 1×1. resize, resize_dtype: the filter (mmcv's
    `imresize`), and the pixels that it works on.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rgb: bool
    caffe: bool
    resize: str = "opencv"
    resize_dtype: str = "uint8"


def is_mmdetection(content: dict[str, Any]) -> bool:
    """True if these are keys of MMDetection's MaskRCNN or FasterRCNN, in the `state_dict` of a file."""
    weights = content.get("state_dict")
    return isinstance(weights, dict) and {CLASS_LAYER, RPN_LAYER} <= weights.keys()


def from_mmdetection(
    content: dict[str, Any], *, class_names: list[str] | None, sha256: str, source: str
) -> Checkpoint:
    """A checkpoint from what `is_mmdetection` recognised.

    class_names: without background; may be left out where the file has them, or they are COCO's 80. Raises
    CheckpointError where they or the configuration are missing, or a key or shape is not as expected.
    """
    weights, meta = content["state_dict"], content.get("meta") or {}
    colours = read_colours(meta.get("config") or meta.get("cfg") or "", source)
    config = _config(weights, colours, source)
    edits = HEAD_EDITS if colours.rgb else HEAD_EDITS | BGR_EDITS
    counters = [key for key in weights if key.endswith(".num_batches_tracked")]
    names = class_names or meta.get("CLASSES") or meta.get("dataset_meta", {}).get("classes")
    return Checkpoint(
        config=config,
        classes=name_classes(config.num_classes - 1, names, source),
        state_dict=translate(weights, config, names=NAMES, edits=edits, unused=counters, source=source),
        provenance={"source": "MMDetection"},
        sha256=sha256,
    )


def read_colours(config: str, source: str) -> Colours:
    """From the text of a configuration as `pretty_text` gives it: assignments of literals and dict calls.

    Version 2 has them in the pipeline's Normalize (mean, std, to_rgb), version 3 in the data preprocessor
    (mean, std, bgr_to_rgb). The text is parsed, not run. Raises CheckpointError where they are not in it, or
    it lays other anchors than `ANCHORS`.
    """
    try:
        dicts = [_literals(node) for node in ast.walk(ast.parse(config)) if isinstance(node, ast.Call)]
        norm = next(d for d in dicts if {"mean", "std"} <= d.keys())
        style = next(d["style"] for d in dicts if {"depth", "style"} <= d.keys())
        rgb = norm["to_rgb"] if "to_rgb" in norm else norm["bgr_to_rgb"]
    except (SyntaxError, StopIteration, KeyError) as error:
        raise CheckpointError(
            f"{source}: MMDetection's weights without their configuration, which alone says which colours "
            "they take and where a block has its stride. Put it in: content = torch.load(FILE); "
            "content['meta'] = {'config': mmengine.Config.fromfile(CONFIG).pretty_text}; "
            "torch.save(content, FILE)"
        ) from error
    for anchors in (d for d in dicts if ANCHORS.keys() <= d.keys()):
        if other := {name: anchors[name] for name in ANCHORS if list(anchors[name]) != ANCHORS[name]}:
            raise CheckpointError(
                f"{source}: trained with the anchors {other}, but only {ANCHORS} can be read."
            )
    pillow = any(d.get("backend") == "pillow" for d in dicts)
    in_float = any(d.get("to_float32") for d in dicts) and not pillow
    return Colours(
        mean=tuple(norm["mean"]),
        std=tuple(norm["std"]),
        rgb=rgb,
        caffe=style == "caffe",
        resize="pil" if pillow else "opencv",
        resize_dtype="float32" if in_float else "uint8",
    )


def _literals(call: ast.Call) -> dict[str, Any]:
    """The keyword arguments of a call whose values are plain: numbers, strings, lists of them."""
    found = {}
    for keyword in call.keywords:
        try:
            found[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except ValueError:
            continue  # a nested dict(...), which is looked at by itself
    return found


def _config(weights: dict[str, Tensor], colours: Colours, source: str) -> MaskRcnnConfig:
    blocks = {key.split(".")[2] for key in weights if key.startswith("backbone.layer3.")}
    layout = (
        len(blocks),
        "backbone.layer3.0.conv3.weight" in weights,
        weights["backbone.layer1.0.conv2.weight"].shape[1],
    )
    if layout not in BACKBONES:
        raise CheckpointError(
            f"{source}: its backbone, of {len(blocks)} blocks in layer3, is none of "
            f"{', '.join(BACKBONES.values())}."
        )
    return MaskRcnnConfig(
        task="instance" if MASK_LAYER in weights else "detection",
        num_classes=weights[CLASS_LAYER].shape[0],
        backbone=BACKBONES[layout],
        stride_in_1x1=colours.caffe,
        fpn_channels=weights["neck.fpn_convs.0.conv.weight"].shape[0],
        mean=rgb_fractions(colours.mean, bgr=not colours.rgb),
        std=rgb_fractions(colours.std, bgr=not colours.rgb),
        rpn_post_nms_train=1000,
        resize=colours.resize,
        resize_dtype=colours.resize_dtype,
        size_rounding="nearest",
        **SETTINGS,
        **mask_convs(weights, r"roi_head\.mask_head\.convs\.\d\.conv\.weight"),
    )


MMDETECTION = Reader("an R-CNN of MMDetection", is_mmdetection, from_mmdetection)
