"""Backbones by name, and the maps that a detector takes from them.

ResNets (arXiv:1512.03385), ResNeXts (arXiv:1611.05431) and MobileNetV3 (arXiv:1905.02244), built from
torchvision's modules under torchvision's keys, so that a classifier's weights load unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large, resnet
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import FrozenBatchNorm2d

from maskrt.models.parts.layout import C4, C5, FPN, MOBILENET_FPN
from maskrt.runtime.errors import CheckpointError

Norm = Callable[[int], nn.Module]

#: ResNeXts as (blocks a layer, groups, channels a group), arXiv:1611.05431, table 1 and section 5.1.
#: torchvision has 32x8d, the body of Detectron's X-101-FPN, but not 32x4d, MMDetection's.
_RESNEXTS = {"resnext101_32x4d": ((3, 4, 23, 3), 32, 4), "resnext101_32x8d": ((3, 4, 23, 3), 32, 8)}
_BASIC = ("resnet18", "resnet34")  # two 3×3 convolutions a block, no 1×1
MOBILENET = "mobilenet_v3_large"
BACKBONES = (*_BASIC, "resnet50", "resnet101", *_RESNEXTS, MOBILENET)
NORMS = ("frozen_bn", "bn", "gn")
GROUP_NORM_GROUPS = 32  # Group Normalization, arXiv:1803.08494, section 4.1

#: Modules of a body at whose outputs there are maps of the layout (models/parts/layout.py).
_RESNET_STAGES = {"maxpool": "stem", "layer1": "C2", "layer2": "C3", "layer3": "C4", "layer4": "C5"}
#: Of MobileNetV3-large, whose modules are numbered: the last block of each stride, then those that
#: torchvision's own detectors put under the pyramid: the first block of stride 32 and the last convolution.
_MOBILENET_STAGES = {"0": "stem", "3": "C2", "6": "C3", "12": "C4", "13": "C5a", "16": "C5b"}


def body_stages(body: nn.Module) -> dict[str, str]:
    """Map (models/parts/layout.py) at the output of each module of a backbone's body that has one."""
    known = _RESNET_STAGES if hasattr(body, "layer1") else _MOBILENET_STAGES
    return {name: stage for name, stage in known.items() if hasattr(body, name)}


def build_body(name: str, norm: Norm, *, stride_in_1x1: bool = False) -> nn.Module:
    """Build a randomly initialised ResNet or ResNeXt with its classifier, or MobileNetV3's features.

    stride_in_1x1: halve the map in the block's first 1×1 convolution, as the paper's table 1 and Detectron's
    Caffe weights have it, rather than in its 3×3, as torchvision and ResNeXts do. Raises CheckpointError
    where the blocks have no such 1×1.
    """
    if stride_in_1x1 and name in (*_BASIC, MOBILENET):
        raise CheckpointError(
            f"model configuration: stride_in_1x1 with {name}, whose blocks have no 1×1 convolution to stride "
            "in. Leave it false, or choose resnet50 or resnet101."
        )
    if name == MOBILENET:
        if isinstance(norm(GROUP_NORM_GROUPS), nn.GroupNorm):
            raise CheckpointError(
                f"model configuration: norm is 'gn' with {name}, which has layers of fewer channels than "
                f"{GROUP_NORM_GROUPS} groups need. Choose bn or frozen_bn."
            )
        return mobilenet_v3_large(weights=None, norm_layer=norm).features
    body: ResNet
    if name in _RESNEXTS:
        blocks, groups, width = _RESNEXTS[name]
        body = ResNet(Bottleneck, list(blocks), groups=groups, width_per_group=width, norm_layer=norm)
    else:
        body = getattr(resnet, name)(weights=None, norm_layer=norm)
    if stride_in_1x1:
        _stride_first(body)
    return body


class FpnBackbone(BackboneWithFPN):
    """Body under a feature pyramid (arXiv:1612.03144); its last level subsamples the one before."""

    def __init__(self, body: Any, channels: int, *, norm: Norm | None, single: bool = False) -> None:
        """channels: of every level. norm: of the pyramid's convolutions, None for none. single: of a ResNet,
        one level alone, of C5: its 1×1 and its 3×3 convolution."""
        if single:
            layout, taken, widths = C5, ["layer4"], [body.inplanes]
        elif isinstance(body, ResNet):
            layout, taken = FPN, ["layer1", "layer2", "layer3", "layer4"]
            widths = [body.inplanes // 2**halvings for halvings in (3, 2, 1, 0)]
        else:
            layout, taken = MOBILENET_FPN, ["13", "16"]
            widths = [body[int(name)].out_channels for name in taken]
        levels = {name: str(level) for level, name in enumerate(taken)}
        super().__init__(body, levels, widths, channels, norm_layer=norm)
        if single:
            self.fpn.extra_blocks = None
        self.layout = layout


class C4Backbone(nn.Module):
    """ResNet up to C4, whose one map serves the RPN and the RoIs."""

    layout = C4

    def __init__(self, body: ResNet) -> None:
        super().__init__()
        self.body = IntermediateLayerGetter(body, {"layer3": "0"})
        self.out_channels = body.inplanes // 2

    def forward(self, canvas: Tensor) -> dict[str, Tensor]:
        """canvas: (N, 3, H, W) → C4, (N, C, H / 16, W / 16), under torchvision's name."""
        return self.body(canvas)


def norm_layer(norm: str, frozen_epsilon: float) -> Norm:
    """Layer type for one of `NORMS`, called with its number of channels. frozen_epsilon: of "frozen_bn"."""
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
