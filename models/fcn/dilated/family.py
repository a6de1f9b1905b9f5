"""torchvision's networks for class maps as a family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Family, HeadLayers, Preset, Reader
from maskrt.models.fcn.dilated.config import RESNETS, DilatedConfig
from maskrt.models.fcn.dilated.network import Dilated
from maskrt.models.fcn.dilated.weights import TORCHVISION
from maskrt.models.fcn.graph import SemanticGraph
from maskrt.models.fcn.qat import fake_quantise
from maskrt.models.fcn.random_weights import randomise
from maskrt.models.fcn.reference import SemanticReference
from maskrt.models.parts.backbones import MOBILENET
from maskrt.runtime.contract import Category, Contract
from maskrt.runtime.errors import MaskrtError

#: As torchvision's references/segmentation: SGD with 0.01, crops of 480 px of pictures of half to twice 520.
FCN_RESNET50 = Preset(
    DilatedConfig(auxiliary=True),
    {"epochs": 30, "batch": 4, "lr": 0.01, "schedule": "cosine", "augment": "scenes", "crop_px": 480},
)


class DilatedFamily(Family[DilatedConfig, Dilated]):
    """All that is asked of a family."""

    presets: Mapping[str, Preset[DilatedConfig]] = {"fcn-resnet50": FCN_RESNET50}
    readers: tuple[Reader, ...] = (TORCHVISION,)
    losses = ("loss_semantic", "loss_auxiliary")

    def read_config(self, values: Mapping[str, Any]) -> DilatedConfig:
        """As every family's."""
        return DilatedConfig.from_dict(values)

    def build(self, config: DilatedConfig) -> Dilated:
        """As every family's."""
        return Dilated(config)

    def graph(self, model: Dilated, *, detections: str) -> SemanticGraph:
        """As every family's."""
        return SemanticGraph(model)

    def reference(
        self, model: Dilated, contract: Contract, *, name: str, device: str = "cpu"
    ) -> SemanticReference:
        """As every family's: torchvision's own forward pass."""
        layers = model.config.feature_taps.items()
        taps = {tap: f"backbone.{layer}" for tap, layer in layers} | {"scores": "classifier"}
        return SemanticReference(model, contract, taps, name=name, device=device)

    def example(self, classes: tuple[Category, ...], picture: NDArray) -> Checkpoint:
        """As every family's: the smallest of torchvision's, LR-ASPP."""
        config = DilatedConfig(
            num_classes=len(classes), network="lraspp", backbone=MOBILENET, min_size_px=64, max_size_px=96
        )
        torch.manual_seed(0)
        return Checkpoint(config, classes, randomise(self.build(config), picture).state_dict())

    def for_data(self, config: DilatedConfig, classes: int, keypoints: int) -> DilatedConfig:
        """As every family's: the background is among the classes."""
        return replace(config, num_classes=classes)

    def head_layers(self, config: DilatedConfig) -> HeadLayers:
        """As every family's."""
        last = ("classifier.4.", "classifier.low_classifier.", "classifier.high_classifier.")
        return HeadLayers(classes=(*last, "aux_classifier.4."), branches=("aux_classifier.",))

    def fake_quantise(self, model: Dilated) -> None:
        """As every family's: of a ResNet under one convolution."""
        if model.config.network != "fcn" or model.config.backbone not in RESNETS:
            raise MaskrtError(
                f"--qat: training in eight bits is not known for {model.config.title}. Quantise the model "
                "after training: maskrt calibrate MODEL.onnx --data IMAGES"
            )
        fake_quantise(model)


def family(name: str) -> DilatedFamily:
    """The one there is."""
    return DilatedFamily(name)
