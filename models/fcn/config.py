"""The configuration of FCN-32s, 16s and 8s, and what their contract says."""

from __future__ import annotations

import math
from dataclasses import dataclass

from maskrt.models.fcn.semantic_config import SemanticConfig, inside_of
from maskrt.models.parts.settings import check_choices
from maskrt.runtime.contract import CANVAS, Inside, Layers, Part
from maskrt.runtime.errors import CheckpointError

#: By network, the strides of its scores, the coarsest first: the last is what is enlarged to the canvas.
NETWORKS = {"fcn32s": (32,), "fcn16s": (32, 16), "fcn8s": (32, 16, 8)}
VGG, RESNETS = "vgg16", ("resnet18", "resnet34", "resnet50", "resnet101")
GEOMETRIES = ("same", "caffe")
NORMS = ("none", "bn", "frozen_bn")
OUTPUT_LAYERS = "outputs"  # the group of score layers and of what enlarges their maps
#: By stride, the map of the backbone that scores of it are made from.
POOLS = {8: "pool3", 16: "pool4", 32: "pool5"}


@dataclass(frozen=True)
class FcnConfig(SemanticConfig):
    """The defaults are the paper's VGG16 in a geometry that keeps the canvas' size."""

    network: str = "fcn8s"
    backbone: str = VGG  # or a ResNet, whose last map has no fc6 and fc7 above it
    # "same": conv1_1 and fc6 keep the size, and scores are enlarged by bilinear resizing. "caffe": the
    # published one, with 100 px of padding, transposed convolutions and crops.
    geometry: str = "same"
    width: float = 1.0  # of VGG16's convolutions, as a share of the paper's channels
    fc_channels: int = 4096  # of fc6 and fc7
    norm: str = "none"  # of the backbone; "bn" to learn it from scratch
    dropout: float = 0.5  # after fc6 and fc7
    # What pool4 and pool3 are multiplied by before they are scored: (0.01, 0.0001) is the paper's "at once".
    skip_scales: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(
            self, network=tuple(NETWORKS), backbone=(VGG, *RESNETS), geometry=GEOMETRIES, norm=NORMS
        )
        is_vgg = self.backbone == VGG
        if not is_vgg and (self.geometry, self.width) != ("same", 1.0):
            raise CheckpointError(
                f"model configuration: geometry is {self.geometry!r} and width {self.width:g} with "
                f"{self.backbone}, expected 'same' and 1: both are of VGG16."
            )
        if is_vgg == (self.norm == "frozen_bn") and (is_vgg or self.norm == "none"):
            raise CheckpointError(
                f"model configuration: norm is {self.norm!r} with {self.backbone}, expected "
                f"{'none or bn' if is_vgg else 'bn or frozen_bn'}."
            )
        if self.norm != "none" and self.geometry == "caffe":
            raise CheckpointError(
                "model configuration: norm with geometry 'caffe', whose published weights have none. "
                "Leave it 'none', or choose the geometry 'same'."
            )
        if not (0 < self.width <= 4 and 0 <= self.dropout < 1 and self.fc_channels >= 1):
            raise CheckpointError(
                f"model configuration: width {self.width:g}, dropout {self.dropout:g}, fc_channels "
                f"{self.fc_channels}; expected width up to 4, dropout below 1 and at least one channel."
            )
        if len(self.skip_scales) != 2 or not all(0 < s < math.inf for s in self.skip_scales):
            raise CheckpointError(
                f"model configuration: skip_scales is {self.skip_scales}, expected two positive numbers."
            )

    @property
    def family(self) -> str:
        """As it is registered."""
        return "fcn"

    @property
    def stride(self) -> int:
        """That of pool5; the published geometry takes any size."""
        return 1 if self.geometry == "caffe" else 32

    @property
    def strides_px(self) -> tuple[int, ...]:
        """Of its scores, the coarsest first."""
        return NETWORKS[self.network]

    @property
    def title(self) -> str:
        """With its backbone."""
        return f"{self.network} on {self.backbone}"

    @property
    def described(self) -> dict[str, str]:
        """As every family's."""
        width = f", {self.width:g} of its width" if self.width != 1 else ""
        return {"network": f"{self.network} on {self.backbone}{width}", "geometry": self.geometry}

    @property
    def pools(self) -> tuple[str, ...]:
        """The maps of the backbone that are scored, the finest first."""
        return tuple(POOLS[stride] for stride in reversed(self.strides_px))

    @property
    def score_strides_px(self) -> dict[str, int | None]:
        """As every network's. In the published geometry cells lie on no grid of the canvas."""
        return {f"score{s}": s if self.geometry == "same" else None for s in self.strides_px}

    @property
    def inside(self) -> Inside:
        """As every family's: what is pooled, what fc7 says, and the scores of each stride."""
        scores = self.score_strides_px
        grid = {POOLS[s]: s if self.geometry == "same" else None for s in reversed(self.strides_px)}
        top, parts = "pool5", []
        if self.backbone == VGG:
            grid["fc7"], top = grid["pool5"], "fc7"
            parts.append(Part("fc", ("pool5",), ("fc7",)))
        parts.append(Part("score", (top,), ("score32",)))
        for coarse, fine in zip(self.strides_px, self.strides_px[1:], strict=False):
            parts.append(Part(f"skip{fine}", (f"score{coarse}", POOLS[fine]), (f"score{fine}",)))
        assert CANVAS not in grid
        return inside_of(grid | scores, self.pools, tuple(parts))

    @property
    def layers(self) -> Layers:
        """As every family's: the score layers stay in float."""
        blocks = (
            [(f"backbone.conv{block}_", f"conv{block}") for block in range(1, 6)]
            if self.backbone == VGG
            else [("backbone.conv1", "stem")] + [(f"backbone.layer{k}", f"layer{k}") for k in range(1, 5)]
        )
        outputs = [(start, OUTPUT_LAYERS) for start in ("score_", "fuse", "enlarge")]
        residual = tuple(f"backbone.layer{k}.*" for k in range(1, 5))
        return Layers(
            groups=(*blocks, ("fc", "fc"), *outputs),
            outputs=OUTPUT_LAYERS,
            units=(*residual, "backbone.*", "fc6", "fc7", "score_fr", "score_pool4", "score_pool3"),
        )
