"""Checkpoints as Matterport's Mask_RCNN saves them, made of our own weights; written from mrcnn/model.py.

Everything that the reader folds away is there: biases before norms, norms in the heads, two scores an anchor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

Layers = dict[str, dict[str, np.ndarray]]  # weights by layer
STD_DEV = torch.tensor([0.1, 0.1, 0.2, 0.2])


def matterport_layers(state_dict: dict[str, Tensor]) -> Layers:
    """The layers that compute what ours do. state_dict: of a model by the rules of Matterport."""
    random = torch.Generator().manual_seed(5)
    given = dict(state_dict)
    layers: Layers = {}

    def noise(like: Tensor, scale: float = 0.1) -> Tensor:
        return torch.randn(like.shape, generator=random) * scale

    def put(layer: str, weight: Tensor, bias: Tensor) -> None:
        kernel = weight.permute(2, 3, 1, 0) if weight.dim() == 4 else weight.T
        layers[layer] = {"kernel": kernel.contiguous().numpy(), "bias": bias.numpy()}

    def with_norm(conv: str, norm: str, ours: str, our_norm: str) -> None:
        weight, bias = given[f"{ours}.weight"], noise(given[f"{our_norm}.bias"])
        put(conv, weight, bias)
        layers[norm] = {
            "gamma": given[f"{our_norm}.weight"].numpy(),
            "beta": given[f"{our_norm}.bias"].numpy(),
            "moving_mean": (given[f"{our_norm}.running_mean"] + bias).numpy(),
            "moving_variance": given[f"{our_norm}.running_var"].numpy(),
        }

    def invented_norm(conv: str, norm: str, weight: Tensor, bias: Tensor) -> None:
        beta, mean = noise(bias), noise(bias)
        gamma, variance = 1 + noise(bias), 1 + noise(bias).abs()
        scale = gamma / torch.sqrt(variance + 1e-3)
        put(conv, weight / scale[:, None, None, None], (bias - beta) / scale + mean)
        values = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
        layers[norm] = {name: value.numpy() for name, value in values.items()}

    def plain(layer: str, ours: str) -> None:
        put(layer, given[f"{ours}.weight"], given[f"{ours}.bias"])

    body = "backbone.body"
    with_norm("conv1", "bn_conv1", f"{body}.conv1", f"{body}.bn1")
    for key in [key for key in given if key.endswith("conv1.weight") and ".layer" in key]:
        block = key.removesuffix(".conv1.weight")
        layer, number = block.removeprefix(f"{body}.layer").split(".")
        name = f"{int(layer) + 1}{chr(97 + int(number))}_branch"
        for place, letter in enumerate("abc", start=1):
            with_norm(
                f"res{name}2{letter}", f"bn{name}2{letter}", f"{block}.conv{place}", f"{block}.bn{place}"
            )
        if f"{block}.downsample.0.weight" in given:
            with_norm(f"res{name}1", f"bn{name}1", f"{block}.downsample.0", f"{block}.downsample.1")
    for place, level in enumerate((2, 3, 4, 5)):
        plain(f"fpn_c{level}p{level}", f"backbone.fpn.inner_blocks.{place}.0")
        plain(f"fpn_p{level}", f"backbone.fpn.layer_blocks.{place}.0")
    plain("rpn_conv_shared", "rpn.head.conv.0.0")
    both = []
    for kind in ("weight", "bias"):
        foreground = given[f"rpn.head.cls_logits.{kind}"]
        background = noise(foreground)
        both.append(torch.stack([background, foreground + background], dim=1).flatten(0, 1))
    put("rpn_class_raw", *both)
    put(
        "rpn_bbox_pred", *(_y_before_x(given[f"rpn.head.bbox_pred.{k}"], STD_DEV) for k in ("weight", "bias"))
    )
    heads = "roi_heads"
    channels = given["backbone.fpn.layer_blocks.0.0.weight"].shape[0]
    fc6, fc7 = (given[f"{heads}.box_head.{name}.weight"] for name in ("fc6", "fc7"))
    for number, weight in enumerate((fc6.unflatten(1, (channels, 7, 7)), fc7[:, :, None, None]), start=1):
        bias = given[f"{heads}.box_head.fc{number + 5}.bias"]
        invented_norm(f"mrcnn_class_conv{number}", f"mrcnn_class_bn{number}", weight, bias)
    plain("mrcnn_class_logits", f"{heads}.box_predictor.cls_score")
    box = f"{heads}.box_predictor.bbox_pred"
    put("mrcnn_bbox_fc", *(_y_before_x(given[f"{box}.{kind}"]) for kind in ("weight", "bias")))
    for place in range(4):
        weight, bias = (given[f"{heads}.mask_head.{place}.0.{kind}"] for kind in ("weight", "bias"))
        invented_norm(f"mrcnn_mask_conv{place + 1}", f"mrcnn_mask_bn{place + 1}", weight, bias)
    plain("mrcnn_mask_deconv", f"{heads}.mask_predictor.conv5_mask")
    plain("mrcnn_mask", f"{heads}.mask_predictor.mask_fcn_logits")
    return layers


def _y_before_x(rows: Tensor, std_dev: Tensor | None = None) -> Tensor:
    """dx dy dw dh of every box → dy dx dh dw, over their deviations."""
    boxes = rows.unflatten(0, (-1, 4))
    if std_dev is not None:
        boxes = boxes / std_dev.view(1, 4, *[1] * (boxes.dim() - 2))
    return boxes[:, [1, 0, 3, 2]].flatten(0, 1)


def write_h5(path: Path, layers: Layers, *, whole_model: bool = False) -> Path:
    """As Keras 2 does: `save_weights()`, or what `save()` writes with the optimizer beside the weights."""
    with h5py.File(path, "w") as file:
        root: Any = file.create_group("model_weights") if whole_model else file
        if whole_model:
            file.create_dataset("optimizer_weights/SGD/iterations:0", data=7)
        for empty in ("input_image", "zero_padding2d_1", "activation_1", "ROI", "mrcnn_bbox"):
            root.create_group(empty)
        for layer, weights in layers.items():
            group = "rpn_model" if layer.startswith("rpn_") else layer
            for name, values in weights.items():
                root.create_dataset(f"{group}/{layer}/{name}:0", data=values)
        root.attrs["layer_names"] = [name.encode() for name in root]
    return path
