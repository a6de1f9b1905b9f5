"""FCN-32s, 16s and 8s as a family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Family, HeadLayers, Preset, Reader
from maskrt.models.fcn import pretrained, qat
from maskrt.models.fcn.config import NETWORKS, VGG, FcnConfig
from maskrt.models.fcn.graph import SemanticGraph
from maskrt.models.fcn.network import Fcn, score_layer
from maskrt.models.fcn.presets import PRESETS
from maskrt.models.fcn.random_weights import randomise
from maskrt.models.fcn.reference import SemanticReference
from maskrt.models.fcn.trunks import RESNET_LAYERS
from maskrt.models.fcn.weights import PUBLISHED
from maskrt.runtime.contract import Category, Contract

#: What 16s and 8s have beside 32s, and each network's own last enlargement.
BRANCHES = ("score_pool4.", "score_pool3.", "fuse16.", "fuse8.", "enlarge32.", "enlarge16.", "enlarge8.")


class FcnFamily(Family[FcnConfig, Fcn]):
    """All that is asked of a family."""

    presets: Mapping[str, Preset[FcnConfig]] = PRESETS
    readers: tuple[Reader, ...] = (PUBLISHED,)
    losses = ("loss_semantic",)

    def read_config(self, values: Mapping[str, Any]) -> FcnConfig:
        """As every family's."""
        return FcnConfig.from_dict(values)

    def build(self, config: FcnConfig) -> Fcn:
        """As every family's."""
        return Fcn(config)

    def graph(self, model: Fcn, *, detections: str) -> SemanticGraph:
        """As every family's."""
        return SemanticGraph(model)

    def reference(
        self, model: Fcn, contract: Contract, *, name: str, device: str = "cpu"
    ) -> SemanticReference:
        """As every family's."""
        return SemanticReference(model, contract, taps_of(model.config), name=name, device=device)

    def example(self, classes: tuple[Category, ...], picture: NDArray) -> Checkpoint:
        """As every family's: FCN-8s of an eighth of the width."""
        config = FcnConfig(
            num_classes=len(classes),
            width=0.125,
            fc_channels=16,
            norm="bn",
            min_size_px=64,
            max_size_px=96,
            placement="corner",
        )
        torch.manual_seed(0)
        return Checkpoint(config, classes, randomise(self.build(config), picture).state_dict())

    def for_data(self, config: FcnConfig, classes: int, keypoints: int) -> FcnConfig:
        """As every family's: the background is among the classes."""
        return replace(config, num_classes=classes)

    def continued(self, config: FcnConfig, preset: Any) -> FcnConfig:
        """As every family's: 16s goes on where 32s ended, and 8s where 16s did."""
        return replace(config, network=preset.network) if isinstance(preset, FcnConfig) else config

    def head_layers(self, config: FcnConfig) -> HeadLayers:
        """As every family's: what enlarges the published networks' scores is a class' own too."""
        scores = tuple(f"{score_layer(stride)}." for stride in NETWORKS["fcn8s"])
        return HeadLayers(classes=(*scores, "fuse", "enlarge"), branches=BRANCHES)

    def load_backbone(self, model: Fcn, config: FcnConfig, source: str) -> None:
        """As every family's; of VGG16's classifier the first two layers too, where they fit."""
        pretrained.load_backbone(model, config, source)

    def fake_quantise(self, model: Fcn) -> None:
        """As every family's."""
        qat.fake_quantise(model)


def taps_of(config: FcnConfig) -> dict[str, str]:
    """The module of each tap."""
    is_vgg = config.backbone == VGG
    taps = {name: f"backbone.{name if is_vgg else RESNET_LAYERS[name][0]}" for name in config.pools}
    coarsest, *finer = config.strides_px
    fc = {"fc7": "relu7"} if is_vgg else {}
    scores = {f"score{coarsest}": score_layer(coarsest)} | {f"score{s}": f"fuse{s}" for s in finer}
    return taps | fc | scores


def family(name: str) -> FcnFamily:
    """The one there is."""
    return FcnFamily(name)
