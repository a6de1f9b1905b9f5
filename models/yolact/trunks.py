"""Backbones of YOLACT: the module that gives C3, C4 and C5, and what its other maps are called.

ResNets (arXiv:1512.03385) and MobileNetV2 (arXiv:1801.04381) are torchvision's, under its keys, so that a
classifier's weights load unchanged. Darknet-53 is that of YOLOv3 (arXiv:1804.02767, table 1).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.resnet import ResNet

from maskrt.models.parts.backbones import Norm, build_body
from maskrt.models.yolact.deformable import make_deformable

TRUNKS = ("resnet18", "resnet34", "resnet50", "resnet101", "darknet53", "mobilenet_v2")
LEAK = 0.1  # Darknet's leaky ReLU
DARKNET_BLOCKS = (1, 2, 8, 8, 4)

#: Maps by the module at whose output they are. Those of `PYRAMID` go into the pyramid.
_RESNET = {"maxpool": "stem", "layer1": "C2", "layer2": "C3", "layer3": "C4", "layer4": "C5"}
_DARKNET = {"stem": "stem", "layer2": "C2", "layer3": "C3", "layer4": "C4", "layer5": "C5"}
#: The last block of 24, 32, 64 and 160 channels: arXiv:1801.04381, table 2. After C4 come blocks of 96.
_MOBILENET = {"0": "stem", "3": "C2", "6": "C3", "10": "C4", "16": "C5"}
PYRAMID = ("C3", "C4", "C5")


class Trunk(IntermediateLayerGetter):
    """A backbone up to C5.

    maps: by the names of its modules, what is there after each. widths: channels of C3, C4, C5.
    """

    def __init__(self, body: nn.Module, maps: Mapping[str, str], widths: tuple[int, int, int]) -> None:
        super().__init__(body, {module: name for module, name in maps.items() if name in PYRAMID})
        self.maps, self.widths = dict(maps), widths

    def every_map(self, canvas: Tensor) -> dict[str, Tensor]:
        """canvas: (N, 3, H, W) → stem, C2, C3, C4, C5 by name, (N, C, h, w) each."""
        found, values = dict[str, Tensor](), canvas
        for name, module in self.items():
            values = module(values)
            if name in self.maps:
                found[self.maps[name]] = values
        return found


def build_trunk(name: str, norm: Norm, *, deformable_every: int = 0) -> Trunk:
    """One of `TRUNKS`, randomly initialised. deformable_every: of a ResNet's blocks; 0 for none."""
    if name == "darknet53":
        return Trunk(Darknet(norm), _DARKNET, (256, 512, 1024))
    if name == "mobilenet_v2":
        return Trunk(mobilenet_v2(weights=None, norm_layer=norm).features, _MOBILENET, (32, 64, 160))
    body = build_body(name, norm)
    if deformable_every:
        assert isinstance(body, ResNet)
        make_deformable(body, deformable_every)
    top = int(getattr(body, "inplanes"))  # noqa: B009 - of a ResNet, which is all that is left
    return Trunk(body, _RESNET, (top // 4, top // 2, top))


class Darknet(nn.Module):
    """Darknet-53 without its classifier: a convolution, then five stages that halve the map and add
    blocks."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.stem = _convolution(3, 32, norm, kernel_size=3, padding=1)
        width = 32
        for stage, blocks in enumerate(DARKNET_BLOCKS, start=1):
            halved = _convolution(width, 2 * width, norm, kernel_size=3, padding=1, stride=2)
            width *= 2
            self.add_module(
                f"layer{stage}", nn.Sequential(halved, *(Block(width, norm) for _ in range(blocks)))
            )


class Block(nn.Module):
    """Two convolutions beside a shortcut, with no activation after the sum."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = _convolution(width, width // 2, norm, kernel_size=1)
        self.conv2 = _convolution(width // 2, width, norm, kernel_size=3, padding=1)

    def forward(self, values: Tensor) -> Tensor:
        """values: (N, width, h, w), and so is what it gives."""
        return self.conv2(self.conv1(values)) + values


def _convolution(inputs: int, outputs: int, norm: Norm, **shape: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, bias=False, **shape),  # type: ignore[arg-type]
        norm(outputs),
        nn.LeakyReLU(LEAK, inplace=True),
    )
