"""Folds batch normalisation into the convolution before it: fewer nodes, the same function."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Copy `model` with each (frozen) batch norm directly after a convolution folded into it.

    Neighbours are found by their order among their parent's children, as in every ResNet and FPN of
    torchvision; group norms stay. The tests compare the outputs before and after.
    """
    model = copy.deepcopy(model)
    for parent in model.modules():
        children = list(parent.named_children())
        for (_, conv), (name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d):
                _fold(conv, norm)
                setattr(parent, name, nn.Identity())
    return model


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d | FrozenBatchNorm2d) -> None:
    def double(tensor: Any) -> Any:
        return None if tensor is None else tensor.detach().double()  # rounds once, at the end

    weight, bias = fuse_conv_bn_weights(
        double(conv.weight),
        double(conv.bias),
        double(norm.running_mean),
        double(norm.running_var),
        norm.eps,
        double(norm.weight),
        double(norm.bias),
    )
    conv.weight = nn.Parameter(weight.to(conv.weight.dtype), requires_grad=False)
    conv.bias = nn.Parameter(bias.to(conv.weight.dtype), requires_grad=False)
