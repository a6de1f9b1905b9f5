"""Backbones by name: the ResNets (arXiv:1512.03385) and ResNeXts (arXiv:1611.05431) that detectors stand on.

Built from torchvision's modules under torchvision's keys, so that a classifier's weights load unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torchvision.models import resnet
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import FrozenBatchNorm2d

from runtime.errors import CheckpointError

Norm = Callable[[int], nn.Module]

#: ResNeXts as (blocks a layer, groups, channels a group), arXiv:1611.05431, table 1 and section 5.1.
#: torchvision has 32x8d, the body of Detectron's X-101-FPN, but not 32x4d, MMDetection's.
_RESNEXTS = {"resnext101_32x4d": ((3, 4, 23, 3), 32, 4), "resnext101_32x8d": ((3, 4, 23, 3), 32, 8)}
_BASIC = ("resnet18", "resnet34")  # two 3×3 convolutions a block, no 1×1
BACKBONES = (*_BASIC, "resnet50", "resnet101", *_RESNEXTS)
NORMS = ("frozen_bn", "bn", "gn")
GROUP_NORM_GROUPS = 32  # Group Normalization, arXiv:1803.08494, section 4.1


def build_body(name: str, norm: Norm, *, stride_in_1x1: bool = False) -> ResNet:
    """A randomly initialised ResNet or ResNeXt, classifier and all.

    stride_in_1x1: halve the map in the block's first 1×1 convolution, as the paper's table 1 and Detectron's
    Caffe weights have it, rather than in its 3×3, as torchvision and ResNeXts do. Raises CheckpointError
    where the blocks have no 1×1.
    """
    body: ResNet
    if name in _RESNEXTS:
        blocks, groups, width = _RESNEXTS[name]
        body = ResNet(Bottleneck, list(blocks), groups=groups, width_per_group=width, norm_layer=norm)
    else:
        body = getattr(resnet, name)(weights=None, norm_layer=norm)
    if stride_in_1x1:
        if name in _BASIC:
            raise CheckpointError(
                f"model configuration: stride_in_1x1 with {name}, whose blocks have no 1×1 convolution. "
                "Leave it false, or choose resnet50 or resnet101."
            )
        _stride_first(body)
    return body


def resnet_fpn(body: ResNet, channels: int, *, norm: Norm | None) -> BackboneWithFPN:
    """C2–C5 under a feature pyramid (arXiv:1612.03144) of `channels`, with P6 by subsampling P5."""
    width = body.inplanes  # channels of C5
    return BackboneWithFPN(
        body,
        return_layers={"layer1": "0", "layer2": "1", "layer3": "2", "layer4": "3"},
        in_channels_list=[width // 8, width // 4, width // 2, width],
        out_channels=channels,
        norm_layer=norm,
    )


def norm_layer(norm: str, frozen_epsilon: float) -> Norm:
    """The layer for one of `NORMS`, from its number of channels. frozen_epsilon: of "frozen_bn"."""
    if norm == "gn":
        return lambda channels: nn.GroupNorm(GROUP_NORM_GROUPS, channels)
    if norm == "bn":
        return nn.BatchNorm2d
    return partial(FrozenBatchNorm2d, eps=frozen_epsilon)


def _stride_first(body: ResNet) -> None:
    for module in body.modules():
        if isinstance(module, Bottleneck):
            convs: tuple[Any, Any] = (module.conv1, module.conv2)
            convs[0].stride, convs[1].stride = convs[1].stride, convs[0].stride
