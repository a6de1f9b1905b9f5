"""Quantisation-aware training: a detector that computes as its INT8 file for TensorRT will.

Weights and activations are rounded where `calibration.rewrite.placement` puts Q/DQ pairs for TensorRT with
the last layers in float; tests/calibration/test_qat.py holds the two lists to each other. What is learned is
a plain checkpoint and a scale for each of these points.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models.detection import FasterRCNN
from torchvision.models.resnet import BasicBlock, Bottleneck

from maskrt.models.parts.fake_quantise import FakeQuantise
from maskrt.models.parts.layout import C5, FPN
from maskrt.models.parts.quantisers import Points, freeze_batch_norms, layers_of
from maskrt.runtime.errors import MaskrtError

STAGES = ("layer1", "layer2", "layer3", "layer4")


def fake_quantise(model: FasterRCNN) -> None:
    """Make the model round, in place: fixed batch norms, rounded weights, and a quantiser at each point.

    A point is named by the first layer that reads it, "<module>.input.<level>", level 0 unless the layer
    serves several; or "<module>.output" where an addition reads it.
    Raises MaskrtError for another backbone than a residual network under a pyramid or a single level, or
    another mask head than a convolutional one.
    """
    heads, points, layout = model.roi_heads, Points(model), model.backbone.layout
    convolutional = not heads.has_mask() or hasattr(heads.mask_predictor, "conv5_mask")
    if layout not in (FPN, C5) or not convolutional:
        raise MaskrtError(
            "--qat: only ResNets under a feature pyramid or one level of it are known, with convolutional "
            "mask heads. Quantise this model after training: maskrt calibrate MODEL.onnx --data IMAGES"
        )
    freeze_batch_norms(model)
    _round_backbone(model, points)
    rpn = points.name_of(layers_of(model.rpn.head.conv)[0])
    pyramid = [points.new(f"{rpn}.input.{k}") for k in range(layout.pooled)]
    pyramid += [pyramid[-1]] * (len(layout.levels) - layout.pooled)  # P6 is cells of P5
    model.backbone.register_forward_hook(lambda _, args, maps: _each(maps, pyramid))
    for conv in layers_of(model.rpn.head.conv)[1:]:
        name = points.name_of(conv)
        levels = cycle([points.new(f"{name}.input.{k}") for k in range(len(layout.levels))])
        conv.register_forward_pre_hook(lambda _, args, levels=levels: (next(levels)(args[0]),))
    of_rois = [heads.box_head]
    if heads.has_mask():
        of_rois += [heads.mask_head, heads.mask_predictor.conv5_mask]
    if heads.has_keypoint():
        of_rois += [heads.keypoint_head]
    for layer in layers_of(*of_rois):
        points.before(layer, points.new(f"{points.name_of(layer)}.input.0"))
    points.hold(*layers_of(model.backbone, model.rpn.head.conv, *of_rois))


def _round_backbone(model: FasterRCNN, points: Points) -> None:
    body: Any = model.backbone.body
    points.before(body["conv1"], points.new("backbone.body.conv1.input.0"))
    fpn: Any = model.backbone.fpn
    ends: list[FakeQuantise] = []  # of C2 … C5, which the next stage and the FPN read alike
    for stage in STAGES:
        for index, block in enumerate(body[stage]):
            name = f"backbone.body.{stage}.{index}"
            if not isinstance(block, BasicBlock | Bottleneck):
                raise MaskrtError(
                    f"--qat: '{name}' is a {type(block).__name__}, and only residual networks are known."
                )
            entry = points.new(f"{name}.conv1.input.0")
            points.before(block, entry)  # the shortcut reads the same as the convolutions
            if index == 0 and stage != STAGES[0]:
                ends.append(entry)
            for layer in ("conv2", "conv3"):
                if hasattr(block, layer):
                    points.before(getattr(block, layer), points.new(f"{name}.{layer}.input.0"))
            if block.downsample is not None and not isinstance(block.downsample[1], nn.GroupNorm):
                output = points.new(f"{name}.downsample.0.output")
                block.downsample.register_forward_hook(lambda _, args, value, output=output: output(value))
    levels = len(fpn.inner_blocks)
    ends.append(points.new(f"backbone.fpn.inner_blocks.{levels - 1}.0.input.0"))
    merged = [points.new(f"backbone.fpn.layer_blocks.{k}.0.input.0") for k in range(levels)]
    fpn.forward = _rounded_pyramid(fpn, ends[-levels:], merged)


def _rounded_pyramid(fpn: Any, ends: list[FakeQuantise], merged: list[FakeQuantise]) -> Callable[..., Any]:
    """torchvision's FeaturePyramidNetwork.forward, whose sums are read rounded by both their readers."""

    def forward(maps: dict[str, Tensor]) -> dict[str, Tensor]:
        sides = [block(end(c)) for block, end, c in zip(fpn.inner_blocks, ends, maps.values(), strict=True)]
        above = merged[-1](sides[-1])
        levels = [fpn.layer_blocks[-1](above)]
        for index in range(len(sides) - 2, -1, -1):
            doubled = interpolate(above, size=sides[index].shape[-2:], mode="nearest")
            above = merged[index](sides[index] + doubled)
            levels.insert(0, fpn.layer_blocks[index](above))
        names = list(maps)
        if fpn.extra_blocks is not None:
            levels, names = fpn.extra_blocks(levels, sides, names)
        return dict(zip(names, levels, strict=True))

    return forward


def _each(maps: dict[str, Tensor], quantisers: list[FakeQuantise]) -> dict[str, Tensor]:
    return type(maps)((key, q(value)) for (key, value), q in zip(maps.items(), quantisers, strict=True))
