"""The configuration of torchvision's networks for class maps, and what their contract says."""

from __future__ import annotations

from dataclasses import dataclass

from maskrt.models.fcn.semantic_config import SemanticConfig, inside_of
from maskrt.models.parts.backbones import MOBILENET
from maskrt.models.parts.settings import check_choices
from maskrt.runtime.contract import Inside, Layers, Part
from maskrt.runtime.errors import CheckpointError

RESNETS = ("resnet50", "resnet101")
#: By head, the backbones that torchvision has it on.
NETWORKS = {"fcn": RESNETS, "deeplabv3": (*RESNETS, MOBILENET), "lraspp": (MOBILENET,)}
OUTPUT_LAYERS = "outputs"
#: MobileNetV3-large's first block of stride 8, which LR-ASPP reads beside the last convolution.
LOW_BLOCK = "4"


@dataclass(frozen=True)
class DilatedConfig(SemanticConfig):
    """The defaults are torchvision's `fcn_resnet50`, with the picture that its weights were measured on."""

    network: str = "fcn"  # or "deeplabv3" (arXiv:1706.05587), "lraspp" (arXiv:1905.02244, section 6.4)
    backbone: str = "resnet50"
    auxiliary: bool = False  # in training, a second head on the layer before the last, whose loss counts half
    min_size_px: int = 520
    max_size_px: int = 1040
    placement: str = "corner"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, network=tuple(NETWORKS))
        check_choices(self, backbone=NETWORKS[self.network])
        if self.auxiliary and self.network == "lraspp":
            raise CheckpointError(
                "model configuration: auxiliary with 'lraspp', which has no such head. Leave it out."
            )

    @property
    def family(self) -> str:
        """As it is registered."""
        return "dilated"

    @property
    def stride(self) -> int:
        """Any size: scores are resized to the canvas."""
        return 1

    @property
    def title(self) -> str:
        """As torchvision calls it."""
        return f"{self.network}_{self.backbone}"

    @property
    def described(self) -> dict[str, str]:
        """As every family's."""
        return {"network": f"torchvision's {self.title}"}

    @property
    def score_strides_px(self) -> dict[str, int | None]:
        """As every network's: 8 of a dilated ResNet and of LR-ASPP, 16 of a dilated MobileNet."""
        wide = (self.network, self.backbone) == ("deeplabv3", MOBILENET)
        return {"scores": 16 if wide else 8}

    @property
    def feature_taps(self) -> dict[str, str]:
        """The maps that the head reads: the backbone's layer by tap."""
        if self.backbone in RESNETS:
            return {"layer4": "layer4"}
        return {"low": LOW_BLOCK, "high": "16"} if self.network == "lraspp" else {"high": "16"}

    @property
    def inside(self) -> Inside:
        """As every family's."""
        strides: dict[str, int | None] = {"layer4": 8, "low": 8, "high": 16}
        features = tuple(self.feature_taps)
        maps = {name: strides[name] for name in features} | self.score_strides_px
        return inside_of(maps, features, (Part("head", features, ("scores",)),))

    @property
    def layers(self) -> Layers:
        """As every family's: the last layer of the head stays in float."""
        if self.backbone in RESNETS:
            groups = [("backbone.conv1", "stem")] + [(f"backbone.layer{k}", f"layer{k}") for k in range(1, 5)]
        else:
            groups = [(f"backbone.{k}.", f"blocks{k // 4}") for k in range(17)]
        last = {
            "fcn": ("classifier.4",),
            "deeplabv3": ("classifier.4",),
            "lraspp": ("classifier.low_classifier", "classifier.high_classifier"),
        }[self.network]
        outputs = tuple((layer, OUTPUT_LAYERS) for layer in last)
        return Layers(
            groups=(*groups, *outputs, ("classifier", "head")),
            outputs=OUTPUT_LAYERS,
            units=(*(f"backbone.layer{k}.*" for k in range(1, 5)), "backbone.*", "classifier"),
        )
