"""The deformable convolutions of YOLACT++ (arXiv:1912.06218, section 6.2; Deformable ConvNets v2).

They take the place of the 3×3 convolution in every n-th residual block of the stages that give C3, C4 and C5,
from a stage's first block on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import ResNet
from torchvision.ops import deform_conv2d

import maskrt.models.operators  # noqa: F401  registers the torch operators

STAGES = ("layer2", "layer3", "layer4")


class DeformableConv(nn.Conv2d):
    """A convolution whose samples are moved and weighed by what another one, `offsets`, says of its input.

    That one gives dy and dx of each sample, then the logit of its weight. It begins with zeros: nothing is
    moved, all count a half.
    """

    def __init__(self, like: nn.Conv2d) -> None:
        """like: the convolution whose place it takes, square and not dilated."""
        side, stride, border = like.kernel_size[0], like.stride[0], int(like.padding[0])
        super().__init__(like.in_channels, like.out_channels, side, stride=stride, padding=border)
        self.offsets = nn.Conv2d(like.in_channels, 3 * side**2, side, stride=stride, padding=border)
        for parameter in (self.bias, *self.offsets.parameters()):
            nn.init.zeros_(parameter)  # type: ignore[arg-type]
        self.as_operator = False  # in an exported graph; else torchvision's function, which learns

    def forward(self, values: Tensor) -> Tensor:
        """values: (N, C, H, W) → (N, O, h, w) of the same type; places and sums are float32 whatever that
        is."""
        first, second, weights = self.offsets(values).float().chunk(3, dim=1)
        offsets, mask = torch.cat([first, second], dim=1), torch.sigmoid(weights)
        weight, bias = self.weight.float(), self.bias
        assert bias is not None
        side, stride, border = self.kernel_size[0], self.stride[0], int(self.padding[0])
        if self.as_operator:
            found = torch.ops.maskrt.deform_conv(
                values.float(), offsets, mask, weight, bias.float(), side, stride, border
            )
        else:
            found = deform_conv2d(
                values.float(), offsets, weight, bias.float(), stride=stride, padding=border, mask=mask
            )
        return found.to(values.dtype)


def make_deformable(body: ResNet, every: int) -> None:
    """Replace the convolutions, in place, in every `every`-th block."""
    for stage in STAGES:
        layer: Any = getattr(body, stage)
        for block in list(layer)[::every]:
            block.conv2 = DeformableConv(block.conv2)
