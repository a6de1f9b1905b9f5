"""Random weights under which a network that gives a class map behaves as if trained: every class somewhere,
and sure of itself. For tests and benchmarks, where no download is possible."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.models.mobilenetv3 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck

from maskrt.models.fcn.segmenter import Segmenter

SCORE_STD = 3.0  # of the last scores over the picture, of each class
# Share of a residual block's branch beside its shortcut: with as much of each, a random network of fifty
# layers amplifies rounding as no trained one does.
BRANCH_SCALE = 0.2


@torch.no_grad()
def randomise(model: Segmenter, picture: NDArray) -> Segmenter:
    """Set, in place, the norms' statistics to those of `picture` (H, W, 3) uint8, and centre and scale the
    scores of each class there. Of the weights before, the residual blocks' last norms alone change."""
    for block in model.modules():
        if isinstance(block, BasicBlock | Bottleneck):
            last: Any = block.bn3 if isinstance(block, Bottleneck) else block.bn2
            last.weight.fill_(BRANCH_SCALE)
        elif isinstance(block, InvertedResidual) and block.use_res_connect:
            projection: Any = block.block[-1]
            projection[1].weight.fill_(BRANCH_SCALE)
    pixels = torch.from_numpy(picture).permute(2, 0, 1) / 255
    pair = [pixels, pixels.flip(2)]  # a norm after a global mean needs two values
    canvas, _ = model.stacked(pair, [torch.zeros(pixels.shape[1:])] * 2)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    hooks = [layer.register_forward_hook(_centre) for layer in model.score_layers()]
    model.maps(canvas)
    for hook in hooks:
        hook.remove()
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    return model.eval()


def _centre(layer: Any, given: Any, scores: torch.Tensor) -> torch.Tensor:
    """Make the layer's outputs of mean 0 and of `SCORE_STD`, a class at a time."""
    if not bool(layer.weight.any()):
        layer.weight.normal_()
        scores = layer.forward(*given)
    spread = scores.std(dim=(0, 2, 3)).clamp(min=1e-6)
    layer.weight.mul_((SCORE_STD / spread)[:, None, None, None])
    layer.bias.zero_()
    layer.bias.copy_(-layer.forward(*given).mean(dim=(0, 2, 3)))
    centred: torch.Tensor = layer.forward(*given)
    return centred
