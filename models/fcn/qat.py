"""Quantisation-aware training: a network that computes as its INT8 file for TensorRT will.

Rounded are the inputs and weights of all convolutions but the score layers, where
`calibration.rewrite.placement` puts its pairs for TensorRT; tests/conformance holds the two lists to each
other.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from maskrt.models.fcn.segmenter import Segmenter
from maskrt.models.parts.quantisers import Points, freeze_batch_norms, layers_of


def fake_quantise(model: Segmenter) -> None:
    """Make the model round, in place: fixed batch norms, rounded weights, and a quantiser at each point.

    A point is named by the layer that reads it, "<module>.input.0", or "<module>.output" where an addition
    reads it. Each layer outside of residual blocks is the only one that reads its input.
    """
    freeze_batch_norms(model)
    points = Points(model)
    scored = set(model.score_layers())
    rounded = [
        layer
        for name, part in model.named_children()
        if name not in model.training_only
        for layer in layers_of(part)
        if layer not in scored and isinstance(layer, nn.Conv2d)
    ]
    blocks = [module for module in model.modules() if isinstance(module, BasicBlock | Bottleneck)]
    of_blocks = {layer for block in blocks for layer in layers_of(block)}
    for layer in rounded:
        if layer not in of_blocks:
            points.before(layer, points.new(f"{points.name_of(layer)}.input.0"))
    for block in blocks:
        _round_block(block, points)
    points.hold(*rounded)


def _round_block(block: Any, points: Points) -> None:
    """Its shortcut reads what its first convolution reads; a convolution on the shortcut is rounded after."""
    name = points.name_of(block)
    points.before(block, points.new(f"{name}.conv1.input.0"))
    for layer in ("conv2", "conv3"):
        if hasattr(block, layer):
            points.before(getattr(block, layer), points.new(f"{name}.{layer}.input.0"))
    if block.downsample is not None:
        output = points.new(f"{name}.downsample.0.output")
        block.downsample.register_forward_hook(lambda _, args, value, output=output: output(value))
