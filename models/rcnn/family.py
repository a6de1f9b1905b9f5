"""Mask, Faster and Keypoint R-CNN (arXiv:1703.06870, arXiv:1506.01497) as families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torchvision.models.detection import FasterRCNN

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Family, HeadLayers, Preset, Reader
from maskrt.models.graph import InferenceGraph
from maskrt.models.rcnn import pretrained, qat
from maskrt.models.rcnn.branches import BRANCHES
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.graph.network import MaskRcnnGraph
from maskrt.models.rcnn.matterport.config import MatterportConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.rcnn.presets import PRESETS, TINY
from maskrt.models.rcnn.random_weights import randomise
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.models.rcnn.weights.c5 import SINGLE_LEVEL
from maskrt.models.rcnn.weights.detectron2 import DETECTRON2
from maskrt.models.rcnn.weights.mmdetection import MMDETECTION
from maskrt.models.rcnn.weights.torchvision import TORCHVISION, coco_points
from maskrt.runtime.contract import Category, Contract
from maskrt.runtime.errors import MaskrtError


class Rcnn(Family[MaskRcnnConfig, FasterRCNN]):
    """The three networks, which differ in the branch beside the boxes alone."""

    presets: Mapping[str, Preset[MaskRcnnConfig]] = PRESETS
    readers: tuple[Reader, ...] = (TORCHVISION, DETECTRON2, MMDETECTION, SINGLE_LEVEL)
    losses = (
        *("loss_classifier", "loss_box_reg", "loss_mask", "loss_keypoint"),
        *("loss_objectness", "loss_rpn_box_reg"),
    )
    losses_in_bar = ("loss_mask", "loss_keypoint")

    def read_config(self, values: Mapping[str, Any]) -> MaskRcnnConfig:
        """As every family's; of a file from before Matterport's rules were a family, theirs."""
        by_matterport = values.get("rules") == "matterport"
        return (MatterportConfig if by_matterport else MaskRcnnConfig).from_dict(values)

    def build(self, config: MaskRcnnConfig) -> FasterRCNN:
        """As every family's."""
        return build_mask_rcnn(config)

    def graph(self, model: FasterRCNN, *, detections: str) -> InferenceGraph:
        """As every family's."""
        return MaskRcnnGraph(model, detections=detections)

    def reference(
        self, model: FasterRCNN, contract: Contract, *, name: str, device: str = "cpu"
    ) -> EagerSession:
        """As every family's: torchvision's own code."""
        return EagerSession(model, contract, name=name, device=device)

    def example(self, classes: tuple[Category, ...], picture: NDArray) -> Checkpoint:
        """As every family's: the preset `tiny`, smaller yet."""
        task = next(task for task, branch in BRANCHES.items() if branch.family == self.name)
        points = coco_points() if task == "keypoint" else None
        config = replace(
            TINY,
            task=task,
            num_classes=len(classes) + 1,
            min_size_px=128,
            max_size_px=192,
            fpn_channels=32,
            mask_convs=(32,),
            keypoint_convs=(32,),
            rpn_post_nms_test=100,
            max_detections=30,
        )
        return self._example(config, classes, picture, points)

    def _example(self, config: MaskRcnnConfig, classes: Any, picture: NDArray, points: Any) -> Checkpoint:
        model = self.build(config)
        randomise(model, [torch.from_numpy(picture).permute(2, 0, 1) / 255])
        return Checkpoint(config, classes, model.state_dict(), keypoints=points)

    def for_small_devices(self, config: MaskRcnnConfig, proposals: int) -> dict[str, Any]:
        """As every family's."""
        return {"rpn_post_nms_test": min(config.rpn_post_nms_test, proposals)}

    def for_data(self, config: MaskRcnnConfig, classes: int, keypoints: int) -> MaskRcnnConfig:
        """As every family's. The background is a class of the network."""
        points = keypoints if config.keypoints_found else config.num_keypoints
        return replace(config, num_classes=classes + 1, num_keypoints=points)

    def check_untrained(self, config: MaskRcnnConfig) -> None:
        """As every family's."""
        if config.norm == "frozen_bn":
            raise MaskrtError(
                "frozen batch norms around random weights learn nothing. Give the backbone that they belong "
                "to (--backbone imagenet, or a file), or a detector (--from), or train the norms: "
                "--set norm=bn"
            )

    def head_layers(self, config: MaskRcnnConfig) -> HeadLayers:
        """As every family's. Masks that all classes share are no class's own."""
        branches = BRANCHES.values()
        shared = "roi_heads.box_predictor."
        of_branches = (layer for each in branches for layer in each.class_layers)
        return HeadLayers(
            classes=(shared,) if config.mask_class_agnostic else (shared, *of_branches),
            keypoints=tuple(layer for each in branches for layer in each.keypoint_layers),
            branches=tuple(each.prefix for each in branches if each.kind),
        )

    def load_backbone(self, model: FasterRCNN, config: MaskRcnnConfig, source: str) -> None:
        """As every family's; on C4 into the head that is the classifier's last layer too."""
        pretrained.load_backbone(model, config, source)

    def fake_quantise(self, model: FasterRCNN) -> None:
        """As every family's: of a ResNet under a pyramid."""
        qat.fake_quantise(model)


def family(name: str) -> Rcnn:
    """The one of that name."""
    return Rcnn(name)
