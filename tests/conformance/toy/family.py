"""The toy as a family: what it promises, how it is exported, trained and referred to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.eager import Found, Reference
from maskrt.models.family import Family, HeadLayers, Preset
from maskrt.runtime.contract import Category, Contract
from tests.conformance.toy.config import ToyConfig
from tests.conformance.toy.graph import ToyGraph
from tests.conformance.toy.network import Toy

LEAST_SURE = 0.9  # of the example's cells, the share that is below the threshold


class ToyReference(Reference[Toy]):
    """The network in PyTorch: every cell above the threshold, whatever their number, the best first."""

    taps: Mapping[str, str] = {"features": "features", "cells": "head"}

    def found(self, canvas: Tensor, sizes: list[tuple[int, int]]) -> list[Found]:
        """As every family's."""
        return [
            self._found(*of_one)
            for of_one in zip(*self.model.said(self.model.cells(canvas)), sizes, strict=True)
        ]

    def _found(self, logits: Tensor, boxes: Tensor, masks: Tensor, size: tuple[int, int]) -> Found:
        scores, config = torch.sigmoid(logits), self.model.config
        cell, label = torch.nonzero(scores > config.score_threshold, as_tuple=True)
        best = scores[cell, label].sort(descending=True).indices[: config.max_detections]
        cell, label, (height, width) = cell[best], label[best], size
        side = config.mask_size
        return Found(
            boxes=torch.stack([boxes[cell, k].clamp(0, (width, height)[k % 2]) for k in range(4)], dim=1),
            scores=scores[cell, label],
            labels=label,
            masks=torch.sigmoid(masks[cell]).view(-1, side, side),
        )


class ToyFamily(Family[ToyConfig, Toy]):
    """All that is asked of a family."""

    presets: Mapping[str, Preset[ToyConfig]] = {"toy": Preset(ToyConfig(), {"epochs": 1, "workers": 0})}

    def read_config(self, values: Mapping[str, Any]) -> ToyConfig:
        """As every family's."""
        return ToyConfig.from_dict(values)

    def build(self, config: ToyConfig) -> Toy:
        """As every family's."""
        return Toy(config)

    def graph(self, model: Toy, *, detections: str) -> ToyGraph:
        """As every family's; all rows cost the same."""
        return ToyGraph(model)

    def reference(self, model: Toy, contract: Contract, *, name: str, device: str = "cpu") -> ToyReference:
        """As every family's."""
        return ToyReference(model, contract, name=name, device=device)

    def for_data(self, config: ToyConfig, classes: int, keypoints: int) -> ToyConfig:
        """As every family's."""
        return replace(config, num_classes=classes)

    def head_layers(self, config: ToyConfig) -> HeadLayers:
        """As every family's: one layer says all."""
        return HeadLayers(classes=("head.",))

    @torch.no_grad()
    def example(self, classes: tuple[Category, ...], picture: NDArray) -> Checkpoint:
        """As every family's: a tenth of the cells is sure of something."""
        config = ToyConfig(num_classes=len(classes))
        torch.manual_seed(0)
        model = self.build(config)
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
        logits = model.said(model.cells((pixels - 0.5) / 0.25))[0]
        model.head.weight[: len(classes)] *= 2 / logits.std()
        logits = model.said(model.cells((pixels - 0.5) / 0.25))[0]
        threshold = torch.logit(torch.tensor(config.score_threshold))
        model.head.bias[: len(classes)] += threshold - logits.quantile(LEAST_SURE)
        return Checkpoint(config, classes, model.state_dict())


def family(name: str) -> ToyFamily:
    """The one there is."""
    return ToyFamily(name)
