"""Matterport's Mask_RCNN 2.x: `mask_rcnn_coco.h5` and files fine-tuned from it, ResNet-50 or ResNet-101.

What is folded into the weights here, so that torchvision's layers compute the same: the biases that Keras'
convolutions have before their norms, the norms of the heads, the two scores of an anchor (softmax over
background and object is the sigmoid of their difference), the order dy dx dh dw, and the RPN's deviations.
Layers have the names of mrcnn/model.py: resnet_graph, build, rpn_graph, fpn_classifier_graph and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Reader
from maskrt.models.foreign.class_names import name_classes
from maskrt.models.foreign.translate import translate
from maskrt.models.rcnn.matterport.config import MatterportConfig
from maskrt.models.rcnn.matterport.network import RPN_STD_DEV
from maskrt.models.rcnn.matterport.weights_config import read_display
from maskrt.models.rcnn.weights.conventions import mask_convs
from maskrt.runtime.errors import CheckpointError

Arrays = dict[str, Tensor]
CLASS_LAYER, RPN_LAYER = "mrcnn_class_logits/kernel", "rpn_class_raw/kernel"
BLOCKS = {6: "resnet50", 23: "resnet101"}  # in stage 4
NORM_EPSILON = 1e-3  # of Keras' BatchNormalization
KINDS = {"weight": "kernel", "bias": "bias"}
NORM_KINDS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
LAYERS = {
    "rpn.head.conv.0.0": "rpn_conv_shared",
    "rpn.head.cls_logits": "rpn_class_raw",
    "rpn.head.bbox_pred": "rpn_bbox_pred",
    "roi_heads.box_head.fc6": "mrcnn_class_conv1",
    "roi_heads.box_head.fc7": "mrcnn_class_conv2",
    "roi_heads.box_predictor.cls_score": "mrcnn_class_logits",
    "roi_heads.box_predictor.bbox_pred": "mrcnn_bbox_fc",
    "roi_heads.mask_predictor.conv5_mask": "mrcnn_mask_deconv",
    "roi_heads.mask_predictor.mask_fcn_logits": "mrcnn_mask",
}


def _branch(match: re.Match[str]) -> str:
    """Of a layer in a block: stages from 2, blocks by letters, branches 2a 2b 2c and 1, the shortcut."""
    layer, block, module = match[1], match[2], match[3]
    part = "1" if module.startswith("downsample") else "2" + "abc"[int(module[-1]) - 1]
    return f"{int(layer) + 1}{chr(ord('a') + int(block))}_branch{part}"


# Our keys as regular expressions, and the file's in their place.
NAMES = (
    (r"backbone\.body\.conv1\.weight", "conv1/kernel"),
    (r"backbone\.body\.bn1\.(\w+)", lambda m: f"bn_conv1/{NORM_KINDS[m[1]]}"),
    (
        r"backbone\.body\.layer(\d)\.(\d+)\.(conv\d|downsample\.0)\.weight",
        lambda m: f"res{_branch(m)}/kernel",
    ),
    (
        r"backbone\.body\.layer(\d)\.(\d+)\.(bn\d|downsample\.1)\.(\w+)",
        lambda m: f"bn{_branch(m)}/{NORM_KINDS[m[4]]}",
    ),
    (
        r"backbone\.fpn\.inner_blocks\.(\d)\.0\.(\w+)",
        lambda m: f"fpn_c{int(m[1]) + 2}p{int(m[1]) + 2}/{KINDS[m[2]]}",
    ),
    (r"backbone\.fpn\.layer_blocks\.(\d)\.0\.(\w+)", lambda m: f"fpn_p{int(m[1]) + 2}/{KINDS[m[2]]}"),
    (r"roi_heads\.mask_head\.(\d)\.0\.(\w+)", lambda m: f"mrcnn_mask_conv{int(m[1]) + 1}/{KINDS[m[2]]}"),
    (r"(.*)\.(\w+)", lambda m: f"{LAYERS[m[1]]}/{KINDS[m[2]]}"),
)


def is_matterport(content: dict[str, Any]) -> bool:
    """True if these are the layers of Matterport's Mask_RCNN, as keras_files.py names them."""
    return {CLASS_LAYER, RPN_LAYER} <= content.keys()


def from_matterport(
    content: dict[str, Any], *, class_names: list[str] | None, sha256: str, source: str
) -> Checkpoint:
    """A checkpoint from what `is_matterport` recognised.

    class_names: without background; may be left out where they are COCO's 80. How the model was set is read
    from a text beside the file (weights_config.py), of its name but `.txt`; without one it is
    as in the base configuration. Raises CheckpointError where names are missing, a key or shape is
    not as expected, or the text is none.
    """
    arrays = {key: torch.from_numpy(array) for key, array in content.items()}
    blocks = sum(bool(re.fullmatch(r"res4\w_branch2a/kernel", key)) for key in arrays)
    if blocks not in BLOCKS:
        raise CheckpointError(
            f"{source}: its backbone, of {blocks} blocks in stage 4, is none of {', '.join(BLOCKS.values())}."
        )
    needed = set(_biases_before_norms(arrays)) | {norm for _, norm in _head_norms()}
    missing = [key for key in sorted(needed) if key not in arrays]
    display = Path(source).with_suffix(".txt")
    said, rpn_std_dev = read_display(display) if display.is_file() else ({}, RPN_STD_DEV)
    weights = _folded(arrays, rpn_std_dev)
    config = MatterportConfig(
        num_classes=weights[CLASS_LAYER].shape[0],
        backbone=BLOCKS[blocks],
        fpn_channels=weights["fpn_p2/kernel"].shape[0] if "fpn_p2/kernel" in weights else 256,
        **said,
        **mask_convs(weights, r"mrcnn_mask_conv\d/kernel"),
    )
    return Checkpoint(
        config=config,
        classes=name_classes(config.num_classes - 1, class_names, source),
        state_dict=translate(weights, config, names=NAMES, edits={}, missing=missing, source=source),
        provenance={"source": "Matterport Mask_RCNN"},
        sha256=sha256,
    )


def _biases_before_norms(arrays: Arrays) -> Iterator[str]:
    """Of the backbone's convolutions."""
    for key in arrays:
        if key == "conv1/kernel" or re.fullmatch(r"res\d\w_branch\w+/kernel", key):
            yield key.replace("/kernel", "/bias")


def _head_norms() -> Iterator[tuple[str, str]]:
    """Each layer of the heads that has a norm, and a key of its norm."""
    layers = [f"mrcnn_class_{{}}{i}" for i in (1, 2)] + [f"mrcnn_mask_{{}}{i}" for i in (1, 2, 3, 4)]
    for layer in layers:
        for kind in NORM_KINDS.values():
            yield layer.format("conv"), f"{layer.format('bn')}/{kind}"


def _folded(arrays: Arrays, rpn_std_dev: tuple[float, ...]) -> Arrays:
    """The file's layers in PyTorch's order of axes, without what other layers can take over."""
    weights = {
        key: _in_torchs_order(array) if key.endswith("/kernel") else array for key, array in arrays.items()
    }
    for bias in [key for key in _biases_before_norms(arrays) if key in weights]:
        layer = bias.removesuffix("/bias")
        norm = "bn_conv1" if layer == "conv1" else "bn" + layer.removeprefix("res")
        if f"{norm}/moving_mean" in weights:
            weights[f"{norm}/moving_mean"] = weights[f"{norm}/moving_mean"] - weights.pop(bias)
    for layer in dict.fromkeys(layer for layer, _ in _head_norms()):
        norms = [f"{layer.replace('conv', 'bn')}/{kind}" for kind in NORM_KINDS.values()]
        kernel, bias = f"{layer}/kernel", f"{layer}/bias"
        if {kernel, bias, *norms} <= weights.keys():
            gamma, beta, mean, variance = (weights.pop(key).double() for key in norms)
            scale = gamma / torch.sqrt(variance + NORM_EPSILON)
            weights[bias] = ((weights[bias].double() - mean) * scale + beta).float()
            weights[kernel] = (weights[kernel].double() * scale[:, None, None, None]).float()
    if (fc6 := "mrcnn_class_conv1/kernel") in weights:
        weights[fc6] = weights[fc6].flatten(1)
    if (fc7 := "mrcnn_class_conv2/kernel") in weights:
        weights[fc7] = weights[fc7].flatten(1)
    for kind in ("kernel", "bias"):
        if (key := f"rpn_class_raw/{kind}") in weights:
            background, foreground = weights[key].unflatten(0, (-1, 2)).unbind(1)
            weights[key] = foreground - background
        if (key := f"rpn_bbox_pred/{kind}") in weights:
            deltas = _x_before_y(weights[key])
            rows = deltas.new_tensor(rpn_std_dev).repeat(len(deltas) // 4)
            weights[key] = deltas * rows.view(-1, *[1] * (deltas.dim() - 1))
        if (key := f"mrcnn_bbox_fc/{kind}") in weights:
            weights[key] = _x_before_y(weights[key])
    return weights


def _in_torchs_order(kernel: Tensor) -> Tensor:
    """Keras: height, width, in, out (a transposed convolution's: out, in), or in, out. PyTorch: out, in, …
    (in, out, …)."""
    return kernel.permute(3, 2, 0, 1) if kernel.dim() == 4 else kernel.T


def _x_before_y(rows: Tensor) -> Tensor:
    """dy dx dh dw of every box → dx dy dw dh."""
    return rows.unflatten(0, (-1, 4))[:, [1, 0, 3, 2]].flatten(0, 1)


MATTERPORT = Reader("a Mask R-CNN of Matterport", is_matterport, from_matterport)
