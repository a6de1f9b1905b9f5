"""YOLACT's network (arXiv:1904.02689, sections 3 and 4): trunk, pyramid, protonet, and one head for all
levels.

In what order it computes, and where a ReLU stands, is that of its authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from maskrt.models.parts.backbones import norm_layer
from maskrt.models.yolact.config import YolactConfig
from maskrt.models.yolact.layout import LEVELS
from maskrt.models.yolact.losses import losses_of
from maskrt.models.yolact.rescoring import MaskIou
from maskrt.models.yolact.trunks import PYRAMID, Trunk, build_trunk


class Pyramid(nn.Module):
    """C3, C4, C5 → P3 … P7. Sums go down bilinearly; the 3×3 convolutions stand after the sums.

    relu: after the 3×3 of P3, P4 and P5. from_c5: P6 is made of C5, as MMDetection has it, not of P5.
    """

    def __init__(self, widths: Sequence[int], channels: int, *, relu: bool, from_c5: bool) -> None:
        super().__init__()
        self.relu, self.from_c5 = relu, from_c5
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.levels = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in widths)
        first = widths[-1] if from_c5 else channels
        self.extra = nn.ModuleList(
            nn.Conv2d(inputs, channels, 3, stride=2, padding=1) for inputs in (first, channels)
        )

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """maps: C3, C4, C5 by name, (N, C, h, w) each. Returns P3 … P7 by name, (N, channels, h, w)."""
        sides = [lateral(maps[name]) for lateral, name in zip(self.laterals, PYRAMID, strict=True)]
        sums = [sides[-1]]
        for side in reversed(sides[:-1]):
            larger = functional.interpolate(
                sums[0], size=side.shape[2:], mode="bilinear", align_corners=False
            )
            sums.insert(0, side + larger)
        found = [level(values) for level, values in zip(self.levels, sums, strict=True)]
        if self.relu:
            found = [functional.relu(values) for values in found]
        below = maps[PYRAMID[-1]] if self.from_c5 else found[-1]
        for level in self.extra:
            below = level(below)
            found.append(below)
        return dict(zip(LEVELS, found, strict=True))


class Backbone(nn.Module):
    """The trunk, and the pyramid on it."""

    def __init__(self, body: Trunk, fpn: Pyramid) -> None:
        super().__init__()
        self.body, self.fpn = body, fpn

    def forward(self, canvas: Tensor) -> dict[str, Tensor]:
        """canvas: (N, 3, H, W) → stem, C2 … C5, P3 … P7 by name, (N, C, h, w) each."""
        found: dict[str, Tensor] = self.body.every_map(canvas)
        return found | self.fpn({name: found[name] for name in PYRAMID})


class Protonet(nn.Module):
    """P3 → prototypes at twice its size: three 3×3 convolutions, doubled, another 3×3, then a 1×1. Each has a
    ReLU, of which the last is left to who takes them.

    The authors have a ReLU after the doubling too, which changes nothing: means of numbers that are not
    negative are not negative.
    """

    def __init__(self, channels: int, prototypes: int) -> None:
        super().__init__()
        self.before = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.after = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, prototypes, 1)

    def forward(self, values: Tensor) -> Tensor:
        """values: (N, channels, h, w) → (N, prototypes, 2h, 2w), before the last ReLU."""
        for layer in self.before:
            values = functional.relu(layer(values))
        values = functional.interpolate(values, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.last(functional.relu(self.after(values)))


class Head(nn.Module):
    """What each of A priors of each cell says, with the same weights on every level."""

    def __init__(self, channels: int, priors: int, classes: int, prototypes: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
        self.classes = nn.Conv2d(channels, priors * classes, 3, padding=1)
        self.boxes = nn.Conv2d(channels, priors * 4, 3, padding=1)
        self.coefficients = nn.Conv2d(channels, priors * prototypes, 3, padding=1)

    def forward(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """levels: (N, channels, h, w) each. Returns of each level logits (N, A·classes, h, w), box deltas
        (N, A·4, h, w) and coefficients before their tanh (N, A·prototypes, h, w)."""
        shared = [self.shared(values) for values in levels]
        return (
            [self.classes(values) for values in shared],
            [self.boxes(values) for values in shared],
            [self.coefficients(values) for values in shared],
        )


class Yolact(nn.Module):
    """The network, randomly initialised: its own layers by Glorot's rule, as the authors have it."""

    def __init__(self, config: YolactConfig) -> None:
        super().__init__()
        self.config = config
        norm = norm_layer(config.norm, config.frozen_bn_epsilon)
        body = build_trunk(config.backbone, norm, deformable_every=config.deformable_every)
        channels, priors = config.channels, config.priors_a_cell
        self.backbone = Backbone(
            body,
            Pyramid(
                body.widths, channels, relu=config.fpn_relu, from_c5=config.extra_levels_from == PYRAMID[-1]
            ),
        )
        self.protonet = Protonet(channels, config.prototypes)
        self.head = Head(channels, priors, config.num_classes, config.prototypes)
        self.semantic = nn.Conv2d(channels, config.classes_found, 1)  # in training alone
        self.mask_iou = MaskIou(config.classes_found) if config.mask_iou else None
        own = (self.backbone.fpn, self.protonet, self.head, self.semantic, self.mask_iou)
        for part in (one for one in own if one is not None):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.xavier_uniform_(module.weight)
                    nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        if self.mask_iou is not None:  # a ReLU follows: from 0 on, half of the classes would learn nothing
            nn.init.constant_(self.mask_iou.last.bias, 0.5)  # type: ignore[arg-type]

    def forward(self, images: list[Tensor], targets: list[dict[str, Any]]) -> dict[str, Tensor]:
        """In training: the losses of images (3, h, w) in 0–1 and their targets (models/yolact/losses.py)."""
        return losses_of(self, images, targets)
