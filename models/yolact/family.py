"""YOLACT as a family: what it promises, how it is exported, trained and referred to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Family, HeadLayers, Preset, Reader
from maskrt.models.yolact.config import YolactConfig
from maskrt.models.yolact.graph import YolactGraph
from maskrt.models.yolact.network import Yolact
from maskrt.models.yolact.presets import PRESETS, TINY
from maskrt.models.yolact.random_weights import randomise
from maskrt.models.yolact.reference import YolactReference
from maskrt.models.yolact.weights.dbolya import YOLACT
from maskrt.models.yolact.weights.mmdetection import MMDETECTION
from maskrt.runtime.contract import Category, Contract
from maskrt.runtime.errors import MaskrtError


class YolactFamily(Family[YolactConfig, Yolact]):
    """All that is asked of a family."""

    presets: Mapping[str, Preset[YolactConfig]] = PRESETS
    readers: tuple[Reader, ...] = (YOLACT, MMDETECTION)
    losses = ("loss_class", "loss_box", "loss_mask", "loss_mask_iou", "loss_semantic")
    losses_in_bar = ("loss_mask",)

    def read_config(self, values: Mapping[str, Any]) -> YolactConfig:
        """As every family's."""
        return YolactConfig.from_dict(values)

    def build(self, config: YolactConfig) -> Yolact:
        """As every family's."""
        return Yolact(config)

    def graph(self, model: Yolact, *, detections: str) -> YolactGraph:
        """As every family's; all rows cost the same."""
        return YolactGraph(model)

    def reference(
        self, model: Yolact, contract: Contract, *, name: str, device: str = "cpu"
    ) -> YolactReference:
        """As every family's."""
        return YolactReference(model, contract, name=name, device=device)

    def example(self, classes: tuple[Category, ...], picture: NDArray) -> Checkpoint:
        """As every family's: the preset's layers, with few channels."""
        config = replace(TINY, num_classes=len(classes) + 1)
        model = self.build(config)
        randomise(model, torch.from_numpy(picture).permute(2, 0, 1) / 255)
        return Checkpoint(config, classes, model.state_dict())

    def for_data(self, config: YolactConfig, classes: int, keypoints: int) -> YolactConfig:
        """As every family's. The background is a class of the network."""
        return replace(config, num_classes=classes + 1)

    def check_untrained(self, config: YolactConfig) -> None:
        """As every family's."""
        if config.norm == "frozen_bn":
            raise MaskrtError(
                "frozen batch norms around random weights learn nothing. Give a whole model (--from), or "
                "train the norms: --set norm=bn"
            )

    def head_layers(self, config: YolactConfig) -> HeadLayers:
        """As every family's."""
        return HeadLayers(classes=("head.classes.", "semantic.", "mask_iou.last."), branches=("mask_iou.",))


def family(name: str) -> YolactFamily:
    """The one there is."""
    return YolactFamily(name)
