"""What FCN's scores are made from: VGG16 (arXiv:1409.1556, configuration D) or a ResNet."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from maskrt.models.fcn.config import VGG, FcnConfig
from maskrt.models.parts.backbones import build_body, norm_layer

#: Channels of VGG16's convolutions, a tuple a block; each block ends in a pooling that halves the map.
VGG_BLOCKS = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
CAFFE_PADDING_PX = 100  # of conv1_1 in the published geometry, so that fc6 fits on small pictures
#: Of a ResNet, the layer whose output has the stride of each pooling, and its share of the last's channels.
RESNET_LAYERS = {"pool3": ("layer2", 4), "pool4": ("layer3", 2), "pool5": ("layer4", 1)}
EPSILON = 1e-5  # of norms


class Trunk(nn.ModuleDict):
    """Layers one after another. channels: of the maps that it gives, by name, the finest first."""

    def __init__(self, layers: dict[str, nn.Module], gives: dict[str, str], channels: dict[str, int]) -> None:
        """gives: name of the map at the output of a layer, by layer."""
        super().__init__(layers)
        self.gives, self.channels = gives, channels

    def forward(self, canvas: Tensor) -> dict[str, Tensor]:
        """canvas: (N, 3, H, W) → its maps (N, C, h, w) by name."""
        maps, values = {}, canvas
        for name, layer in self.items():
            values = layer(values)
            if name in self.gives:
                maps[self.gives[name]] = values
        return maps


def build_trunk(config: FcnConfig) -> Trunk:
    """The backbone of a configuration, randomly initialised (He's rule), up to its last map."""
    trunk = _vgg(config) if config.backbone == VGG else _resnet(config)
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return trunk


def _vgg(config: FcnConfig) -> Trunk:
    """Its layers are called as the published weights call them: conv1_1 …; norms come between."""
    layers: dict[str, nn.Module] = {}
    channels, before = {}, 3
    for number, block in enumerate(VGG_BLOCKS, start=1):
        for place, full in enumerate(block, start=1):
            after = max(1, round(full * config.width))
            name = f"{number}_{place}"
            padding = CAFFE_PADDING_PX if (name, config.geometry) == ("1_1", "caffe") else 1
            layers[f"conv{name}"] = nn.Conv2d(before, after, 3, padding=padding)
            if config.norm != "none":
                layers[f"norm{name}"] = nn.BatchNorm2d(after)
            layers[f"relu{name}"] = nn.ReLU(inplace=True)
            before = after
        layers[f"pool{number}"] = nn.MaxPool2d(2, stride=2, ceil_mode=config.geometry == "caffe")
        channels[f"pool{number}"] = before
    gives = {name: name for name in config.pools}
    return Trunk(layers, gives, {name: channels[name] for name in gives})


def _resnet(config: FcnConfig) -> Trunk:
    body: Any = build_body(config.backbone, norm_layer(config.norm, EPSILON))
    layers = {name: layer for name, layer in body.named_children() if name not in ("avgpool", "fc")}
    given = {name: RESNET_LAYERS[name] for name in config.pools}
    return Trunk(
        layers,
        {layer: name for name, (layer, _) in given.items()},
        {name: body.inplanes // share for name, (_, share) in given.items()},
    )
