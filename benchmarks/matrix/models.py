"""Rows of the matrix: the models that maskrt has, with confident random weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from benchmarks.samples import confident_checkpoint
from maskrt.models.rcnn.config import C4, MOBILENET, MaskRcnnConfig

MODELS: dict[str, MaskRcnnConfig] = {
    "R18-FPN": MaskRcnnConfig(backbone="resnet18"),
    "R50-FPN": MaskRcnnConfig(),
    "R101-FPN": MaskRcnnConfig(backbone="resnet101"),
    "X101-FPN": MaskRcnnConfig(backbone="resnext101_32x8d"),
    "R50-C4": C4,
    "R50-FPN keypoint": MaskRcnnConfig(task="keypoint", num_classes=2),
    "R50-FPN Faster R-CNN": MaskRcnnConfig(task="detection"),
    "MobileNetV3-FPN": MOBILENET,
}


@dataclass(frozen=True)
class Size:
    """How large the pictures are and how much a model keeps. Sides in px, multiples of 32."""

    height_px: int
    width_px: int
    proposals: int
    detections: int

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Batches, heights and widths, for one file of dynamic shapes: as it lies, upright, square, two."""
        low, high = sorted((self.height_px, self.width_px))
        return (1, low, high), (1, high, low), (1, low, low), (2, low, high)


SMALL = Size(192, 256, proposals=50, detections=20)
FULL = Size(480, 640, proposals=300, detections=100)


def make(settings: MaskRcnnConfig, size: Size, path: Path) -> None:
    """Write a checkpoint of the model at this size."""
    config = dataclasses.replace(
        settings,
        min_size_px=size.height_px,
        max_size_px=size.width_px,
        rpn_post_nms_test=size.proposals,
        max_detections=size.detections,
    )
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    confident_checkpoint(fields.pop("backbone"), **fields).save(path)
