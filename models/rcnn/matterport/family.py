"""Matterport's Mask_RCNN 2.x as a family: the layers of Mask R-CNN with other rules between them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray
from torchvision.models.detection import FasterRCNN

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Preset
from maskrt.models.graph import InferenceGraph
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.family import Rcnn
from maskrt.models.rcnn.matterport.config import MatterportConfig
from maskrt.models.rcnn.matterport.graph import MatterportGraph
from maskrt.models.rcnn.matterport.network import NOT_TRAINED, build_matterport
from maskrt.models.rcnn.matterport.weights import MATTERPORT
from maskrt.runtime.contract import Category


class Matterport(Rcnn):
    """For inference alone; what trains is Mask R-CNN (docs/from-matterport.md)."""

    presets: Mapping[str, Preset[MaskRcnnConfig]] = MappingProxyType({})
    readers = (MATTERPORT,)
    inference_only = NOT_TRAINED

    def read_config(self, values: Mapping[str, Any]) -> MaskRcnnConfig:
        """As every family's."""
        return MatterportConfig.from_dict(values)

    def build(self, config: MaskRcnnConfig) -> FasterRCNN:
        """As every family's. In training mode it raises CheckpointError."""
        return build_matterport(config)

    def graph(self, model: FasterRCNN, *, detections: str) -> InferenceGraph:
        """As every family's."""
        return MatterportGraph(model, detections=detections)

    def example(self, classes: tuple[Category, ...], picture: NDArray) -> Checkpoint:
        """As every family's: a ResNet-18, which the original has not."""
        config = MatterportConfig(
            backbone="resnet18",
            stride_in_1x1=False,
            norm="bn",
            num_classes=len(classes) + 1,
            min_size_px=128,
            max_size_px=192,
            fpn_channels=32,
            mask_convs=(32, 32),
            rpn_pre_nms_test=1000,
            rpn_post_nms_test=100,
            max_detections=30,
        )
        return self._example(config, classes, picture, points=None)


def family(name: str) -> Matterport:
    """The one there is."""
    return Matterport(name)
